/** The web pages: a common frame and the browser modules in `pages/`, without a build step. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

interface Page {
  readonly path: string;
  readonly title: string;
  /** `pages/<module>.js`, which fills `<div id="page">`; `pages/<module>.css` where `styles` is set. */
  readonly module: string;
  readonly styles?: true;
  /** `anyone` for a page that must open before sign-in; otherwise `read`. */
  readonly role?: 'anyone';
}

/** The pages, in the order of the menu. A page needs a line here and its module. */
export const pages: readonly Page[] = [
  { path: '/', title: 'Overview', module: 'overview', styles: true },
  { path: '/review', title: 'Review', module: 'review', styles: true },
  { path: '/conversations', title: 'Conversations', module: 'conversations' },
  { path: '/models', title: 'Models', module: 'models' },
  { path: '/data-sets', title: 'Data sets', module: 'data-sets' },
  { path: '/dead-letters', title: 'Dead letters', module: 'dead-letters' },
  { path: '/settings', title: 'Settings', module: 'settings' },
];

/** The page for browsers without a token; not in the menu. */
const signIn: Page = { path: '/sign-in', title: 'Sign in', module: 'sign-in', role: 'anyone' };

/** The folders of the pages' files and of the libraries that they import. */
const FOLDERS: Readonly<Record<string, string>> = {
  '/pages/': path.join(import.meta.dirname, 'pages'),
  '/assets/lit-html/': path.join(import.meta.dirname, '..', 'node_modules', 'lit-html'),
  '/assets/uplot/': path.join(import.meta.dirname, '..', 'node_modules', 'uplot', 'dist'),
};

/** Adds the pages, their files under `/pages/`, and the libraries that they import under `/assets/`. */
export function pageRoutes(app: FastifyInstance): void {
  for (const page of [...pages, signIn]) {
    const html = frame(page);
    app.get(page.path, { config: { role: page.role ?? 'read' } }, (_request, reply) =>
      reply.type('text/html; charset=utf-8').send(html),
    );
  }
  // The training report names no icon, because it loads nothing; browsers then look here.
  const icon = readFileSync(path.join(FOLDERS['/pages/'] ?? '', 'icon.svg'));
  app.get('/favicon.ico', { config: { role: 'anyone' } }, (_request, reply) => reply.type('image/svg+xml').send(icon));
  app.register((files, _options, done) => {
    files.addHook('onRoute', (route) => {
      route.config = { ...route.config, role: 'anyone', rateLimit: false };
    });
    for (const [prefix, root] of Object.entries(FOLDERS))
      files.register(fastifyStatic, { root, prefix, decorateReply: false, index: false });
    done();
  });
}

/**
 * The modules that a page's module imports, directly or indirectly. Listed in the HTML, they load in one round trip.
 */
function importsOf(module: string): readonly string[] {
  const found = new Set([`/pages/${module}.js`]);
  for (const url of found) {
    const prefix = Object.keys(FOLDERS).find((one) => url.startsWith(one)) ?? '';
    const code = readFileSync(path.join(FOLDERS[prefix] ?? '', url.slice(prefix.length)), 'utf8');
    for (const [, from = ''] of code.matchAll(/\bimport\b[^'"]*\bfrom\s*['"](.+?)['"]/g))
      found.add(new URL(from, `http://host${url}`).pathname);
  }
  return [...found].slice(1);
}

function frame({ path: current, title, module, styles }: Page): string {
  const links = pages.map(
    (page) => `<a href="${page.path}"${page.path === current ? ' aria-current="page"' : ''}>${page.title}</a>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · Samvad</title>
<link rel="icon" href="/pages/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/pages/style.css">
${styles ? `<link rel="stylesheet" href="/pages/${module}.css">\n` : ''}${importsOf(module)
    .map((url) => `<link rel="modulepreload" href="${url}">\n`)
    .join('')}<script type="module" src="/pages/frame.js"></script>
<script type="module" src="/pages/${module}.js"></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<a class="brand" href="/"><img src="/pages/icon.svg" alt="" width="24" height="24">Samvad</a>
<nav aria-label="Pages">${links.join('')}</nav>
<div id="who" class="who"></div>
</header>
<main id="main" tabindex="-1">
<h1>${title}</h1>
<div id="page"><p class="quiet">Loading …</p></div>
</main>
<noscript><p class="notice">These pages need JavaScript; the API at <a href="/docs">/docs</a> does not.</p></noscript>
</body>
</html>
`;
}

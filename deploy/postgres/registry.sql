-- The Postgres image runs this once, on an empty volume. The schema registry keeps its schemas in its own database.
CREATE DATABASE registry;

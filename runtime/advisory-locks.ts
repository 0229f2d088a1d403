/** Keys of Postgres advisory locks. Each must differ from the others, and never change: every release must take the same lock. */
export const ADVISORY_LOCKS = {
  /** Only one process migrates. */
  migrate: 7_264_231,
  /** Only one process synchronises with Label Studio. */
  labelStudioSync: 7_264_232,
  /** Requests for items of the review queue are served one at a time. */
  leases: 5_041_001,
} as const;

/** How long (ms) we wait for who is at the other end. Tests shorten it. */
export const patience = {
  /** The body of a request, from its first byte to its last. */
  body: 30_000,
  /** An upload of which nothing comes; it may take as long as it likes otherwise. */
  upload: 30_000,
  /** An answer that is streamed, of which nothing is read. */
  download: 60_000,
  /** What is left of a body nobody wants: a connection closed at once would take the answer along. */
  leave: 10_000,
}

"""The addresses of Plivo, of Redis and of a proxy, as operators write them, and the certificates that are trusted."""

"""One file a source: each turns a download, untouched, into the manifest, and registers itself."""

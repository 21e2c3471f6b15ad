package blob

// Forget lets the next write look for stale ones again.
func Forget(f *Folder) { f.tidied.Store(0) }

package rest

import (
	"path"
	"strings"
	"sync"
)

// contentTypes are those that upstream gives, by extension or by the name of a
// file without one. They do not depend on the machine's own list: a file has
// the same type from every copy of the server. Text that a browser could draw
// or run is plain.
var contentTypes = map[string]string{
	"text/plain":               "txt log err cfg conf cnf cf ini properties prop hocon toml yaml yml xml json js py py3 csv tsv md rst ipynb mlmodel mlproject bat c h ksh pl srt",
	"text/html":                "html htm",
	"text/css":                 "css",
	"text/vtt":                 "vtt",
	"application/gzip":         "gz tgz",
	"application/javascript":   "mjs",
	"application/msword":       "doc",
	"application/pdf":          "pdf",
	"application/postscript":   "ps eps ai",
	"application/vnd.ms-excel": "xls",
	"application/wasm":         "wasm",
	"application/x-hdf5":       "h5",
	"application/x-netcdf":     "nc cdf",
	"application/x-sh":         "sh",
	"application/x-tar":        "tar",
	"application/zip":          "zip",
	"audio/aac":                "aac",
	"audio/mpeg":               "mp3 mp2",
	"audio/x-wav":              "wav",
	"image/avif":               "avif",
	"image/bmp":                "bmp",
	"image/gif":                "gif",
	"image/heic":               "heic",
	"image/jpeg":               "jpg jpeg jpe",
	"image/png":                "png",
	"image/svg+xml":            "svg",
	"image/tiff":               "tif tiff",
	"image/vnd.microsoft.icon": "ico",
	"image/webp":               "webp",
	"video/mp4":                "mp4",
	"video/mpeg":               "mpeg mpg",
	"video/quicktime":          "mov qt",
	"video/webm":               "webm",
	"video/x-msvideo":          "avi",
}

var typeOf = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for t, extensions := range contentTypes {
		for e := range strings.FieldsSeq(extensions) {
			m[e] = t
		}
	}
	return m
})

func contentType(key string) string {
	name := strings.ToLower(path.Base(key))
	ext := path.Ext(name)
	if ext == "" {
		ext = name
	}
	if t := typeOf()[strings.TrimPrefix(ext, ".")]; t != "" {
		return t
	}
	return "application/octet-stream"
}

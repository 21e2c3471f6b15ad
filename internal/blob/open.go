package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrPlace is an address that names no place for bytes.
var ErrPlace = errors.New("not an address of a folder or bucket")

// Place is an address, taken apart.
type Place struct {
	// Scheme is file, s3, gs or azure.
	Scheme string
	// Bucket is the bucket or container; for files the folder.
	Bucket string
	// Account and Host are Azure's.
	Account, Host string
	// Prefix is where in the bucket, without slashes at its ends.
	Prefix string
}

// ParsePlace reads a path, file://, s3://bucket/prefix, gs://bucket/prefix,
// wasbs://container@account.blob.core.windows.net/prefix or the abfss:// of
// the same account.
func ParsePlace(uri string) (Place, error) {
	bad := func(why string) (Place, error) {
		return Place{}, fmt.Errorf("%w: %q %s; write a path, file:///path, s3://bucket/prefix, gs://bucket/prefix, wasbs://container@account.blob.core.windows.net/prefix or abfss://container@account.dfs.core.windows.net/prefix", ErrPlace, uri, why)
	}
	if uri == "" || strings.ContainsRune(uri, 0) {
		return bad("names nothing")
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		switch other := bareScheme.FindString(uri); other {
		case "":
			return Place{Scheme: "file", Bucket: filepath.Clean(uri)}, nil
		case "file:":
			scheme, rest = "file", strings.TrimPrefix(uri, "file:")
		default:
			return bad("has a scheme that is not built")
		}
	}
	scheme = strings.ToLower(scheme)
	if strings.ContainsAny(rest, "?#") && scheme != "file" {
		return bad("has a query or fragment")
	}
	if scheme == "file" {
		return parseFile(uri, rest, bad)
	}
	authority, prefix, _ := strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		if err := CheckKey(prefix); err != nil {
			return bad("leads to no folder: " + err.Error())
		}
	}
	switch scheme {
	case "s3", "gs":
		if authority == "" || strings.ContainsAny(authority, "@:%") {
			return bad("names no bucket")
		}
		return Place{Scheme: scheme, Bucket: authority, Prefix: prefix}, nil
	case "wasbs", "abfss":
		container, host, ok := strings.Cut(authority, "@")
		account, domain, dotted := strings.Cut(host, ".")
		if !ok || container == "" || account == "" || !dotted || strings.ContainsAny(host, "@:%") {
			return bad("lacks the container or the account")
		}
		domain = strings.Replace(domain, "dfs.", "blob.", 1) // both doors lead to the same objects
		if !azureDomain.MatchString(domain) {
			return bad("names a host that is not one of Azure's, which would get its credentials")
		}
		return Place{Scheme: "azure", Bucket: container, Account: account, Host: account + "." + domain, Prefix: prefix}, nil
	}
	return bad("has a scheme that is not built")
}

var (
	// bareScheme is that of an address without slashes behind it; a letter alone is a drive.
	bareScheme = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]+:`)
	// azureDomain is what follows the account: that of all regions, of the
	// sovereign clouds, or of a zone.
	azureDomain = regexp.MustCompile(`^(z[0-9]+\.)?blob\.(core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)|storage\.azure\.net)$`)
)

func parseFile(uri, rest string, bad func(string) (Place, error)) (Place, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host != "" && u.Host != "localhost" {
		return bad("names another machine")
	}
	path := u.Path
	if u.Opaque != "" {
		path = u.Opaque
	}
	if path == "" {
		path = rest
	}
	if path == "" {
		return bad("names no folder")
	}
	return Place{Scheme: "file", Bucket: filepath.Clean(filepath.FromSlash(path))}, nil
}

// Open opens what [ParsePlace] reads; [Close] releases it. A folder is made if
// it is missing. Object stores are not asked anything yet, and their
// credentials come from where the tools of their makers look: AWS_* and
// MLFLOW_S3_*, GOOGLE_APPLICATION_CREDENTIALS, AZURE_*.
func Open(ctx context.Context, uri string) (Bucket, error) {
	p, err := ParsePlace(uri)
	if err != nil {
		return nil, err
	}
	var o objects
	switch p.Scheme {
	case "file":
		return OpenFolder(p.Bucket)
	case "s3":
		o, err = newS3(ctx, p.Bucket, os.Getenv)
	case "gs":
		o, err = newGCS(ctx, p.Bucket, os.Getenv)
	default:
		o, err = newAzure(p, os.Getenv)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", uri, err)
	}
	return newObjectBucket(o, uri, p.Prefix), nil
}

// Close releases what Open has opened.
func Close(b Bucket) error {
	if c, ok := b.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// proxied begins addresses of files that the server keeps itself.
const proxied = "mlflow-artifacts:"

// Artifacts copies files into our bucket. A nil one leaves all addresses as they are.
type Artifacts struct {
	Bucket blob.Bucket
	// Prefix of the keys in the bucket.
	Prefix string
	// Served is the folder that MLflow's server keeps files of mlflow-artifacts: in
	// (--artifacts-destination); empty leaves those out.
	Served string
	// Dir is what relative addresses start at.
	Dir string
	// Server gives files out where the source is one; nothing of this machine is read then.
	Server *Server
	// places are addresses that became others, the longest first wins.
	places map[string]string
}

// folder is where the files of an address lie on this machine.
func (a *Artifacts) folder(uri string) (dir string, ok bool) {
	if rest, found := strings.CutPrefix(uri, proxied); found {
		if a.Served == "" {
			return "", false
		}
		rest = strings.TrimLeft(rest, "/")
		if !filepath.IsLocal(filepath.FromSlash(rest)) {
			return "", false
		}
		return filepath.Join(a.Served, filepath.FromSlash(rest)), true
	}
	return localPath(uri, a.Dir)
}

// localPath of a path or a file: address.
func localPath(uri, dir string) (string, bool) {
	p := uri
	if rest, found := strings.CutPrefix(uri, "file:"); found {
		u, err := url.Parse(uri)
		if err != nil || u.Host != "" && u.Host != "localhost" {
			return "", false
		}
		if p = u.Path; p == "" {
			p = rest
		}
	} else if scheme, _, found := strings.Cut(uri, ":"); found && len(scheme) > 1 && !strings.ContainsAny(scheme, "/\\") {
		return "", false
	}
	if p == "" {
		return "", false
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	return filepath.Clean(p), true
}

// address is the one that files of uri have after they were copied into folder.
func (a *Artifacts) address(uri, folder string) string {
	if a == nil {
		return uri
	}
	if root, ok := (client.Folder{URI: uri}).Proxied(); ok {
		if a.Server != nil && root != "" { // without the host that it may name
			return proxied + "/" + root
		}
		return uri
	}
	if _, ok := a.folder(uri); !ok {
		return uri
	}
	to := proxied + "/" + folder
	if a.places == nil {
		a.places = map[string]string{}
	}
	a.places[strings.TrimSuffix(uri, "/")] = to
	return to
}

// moved is an address below one that was changed.
func (a *Artifacts) moved(uri string) string {
	if a == nil {
		return uri
	}
	for p := uri; p != ""; p = p[:max(strings.LastIndexByte(p, '/'), 0)] {
		if to, ok := a.places[p]; ok {
			return to + uri[len(p):]
		}
	}
	return uri
}

// bring copies the files of an address below folder, but for those at some paths.
func (a *Artifacts) bring(ctx context.Context, from client.Folder, folder string, report *ArtifactReport, without ...string) error {
	uri := from.URI
	if a == nil || uri == "" { // runs of old releases may have none
		return nil
	}
	if a.Server != nil {
		return a.download(ctx, from, folder, report, without)
	}
	dir, ok := a.folder(uri)
	if !ok {
		report.Elsewhere++
		return nil
	}
	if rest, found := strings.CutPrefix(uri, proxied); found {
		folder = strings.Trim(rest, "/")
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		root, err = openTrash(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		// Nothing was logged; but where the folder of the experiment is gone as well, all of it was moved.
		if _, err := os.Stat(filepath.Dir(filepath.Dir(dir))); errors.Is(err, fs.ErrNotExist) && from.Run+from.Model != "" {
			report.Missing++
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || slices.Contains(without, p) {
			return err
		}
		key := path.Join(a.Prefix, folder, p)
		if err := blob.CheckKey(key); err != nil {
			report.Refused = append(report.Refused, err.Error())
			return nil
		}
		return a.copy(ctx, root, p, key, report)
	})
}

// openTrash opens a folder where MLflow moved it to with its deleted experiment:
// of mlruns/7/RUN/artifacts it is mlruns/.trash/7/RUN/artifacts.
func openTrash(dir string) (*os.Root, error) {
	for top, rest := filepath.Dir(dir), filepath.Base(dir); top != filepath.Dir(top); top, rest = filepath.Dir(top), filepath.Join(filepath.Base(top), rest) {
		if root, err := os.OpenRoot(filepath.Join(top, trash, rest)); err == nil {
			return root, nil
		}
	}
	return nil, fs.ErrNotExist
}

// download copies what the server gives out; what lies in buckets stays there.
func (a *Artifacts) download(ctx context.Context, from client.Folder, folder string, report *ArtifactReport, without []string) error {
	if root, ok := from.Proxied(); ok {
		folder = root
	} else if _, ok := localPath(from.URI, "/"); !ok || from.Run == "" && from.Model == "" {
		report.Elsewhere++
		return nil
	}
	return a.Server.c.Walk(ctx, from, "", func(f client.File) error {
		if slices.Contains(without, f.Path) {
			return nil
		}
		if err := blob.CheckKey(folder + "/" + f.Path); err != nil {
			report.Refused = append(report.Refused, err.Error())
			return nil
		}
		return a.fetch(ctx, from, f.Path, path.Join(a.Prefix, folder, f.Path), report)
	})
}

// fetch stores one file of the server and reads it back.
func (a *Artifacts) fetch(ctx context.Context, from client.Folder, file, key string, report *ArtifactReport) error {
	content, err := a.Server.c.Open(ctx, from, file, 0, "")
	if err != nil {
		return err
	}
	defer content.Close()
	h := sha256.New()
	info, err := a.Bucket.Create(ctx, key, io.TeeReader(content, h))
	if err != nil {
		return err
	}
	if !a.has(ctx, key, [sha256.Size]byte(h.Sum(nil))) {
		return fmt.Errorf("%s: the copy %s has another content than was sent", file, key)
	}
	report.Copied++
	report.Bytes += info.Size
	return nil
}

// copy stores one file unless the same is there, and reads it back.
func (a *Artifacts) copy(ctx context.Context, root *os.Root, from, key string, report *ArtifactReport) error {
	f, err := root.Open(filepath.FromSlash(from))
	if err != nil {
		return err
	}
	defer f.Close()
	want := sha256.New()
	n, err := io.Copy(want, f)
	if err != nil {
		return err
	}
	sum := [sha256.Size]byte(want.Sum(nil))
	if a.has(ctx, key, sum) {
		report.Kept++
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := a.Bucket.Create(ctx, key, f); err != nil {
		return err
	}
	if !a.has(ctx, key, sum) {
		return fmt.Errorf("%s: the copy %s has another content: was it changed meanwhile?", from, key)
	}
	report.Copied++
	report.Bytes += n
	return nil
}

func (a *Artifacts) has(ctx context.Context, key string, sum [sha256.Size]byte) bool {
	r, _, err := a.Bucket.Open(ctx, key, 0, -1)
	if err != nil {
		return false
	}
	defer r.Close()
	h := sha256.New()
	_, err = io.Copy(h, r)
	return err == nil && [sha256.Size]byte(h.Sum(nil)) == sum
}

package workbench

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// ErrModel: what names a model version does not.
var ErrModel = errors.New("a model version is written NAME/VERSION, NAME@ALIAS or NAME (the newest)")

// Version finds NAME/VERSION, NAME@ALIAS or, as NAME, the newest. The prefix models:/ may stand before it.
func Version(ctx context.Context, c *client.Client, ref string) (client.ModelVersion, error) {
	name, version, alias, err := ParseVersion(ref)
	switch {
	case err != nil:
		return client.ModelVersion{}, err
	case alias != "":
		return c.ModelVersionByAlias(ctx, name, alias)
	case version == "" || version == "latest":
		return c.LatestVersion(ctx, name)
	}
	return c.ModelVersion(ctx, name, version)
}

// Versions of a model, the newest first.
func Versions(ctx context.Context, c *client.Client, name string) iter.Seq2[client.ModelVersion, error] {
	return c.ModelVersions(ctx, client.Query{Filter: "name=" + client.QuoteFilter(name), OrderBy: []string{"version_number DESC"}})
}

// ParseVersion splits what names a version.
func ParseVersion(ref string) (name, version, alias string, err error) {
	if rest, ok := strings.CutPrefix(ref, "models:"); ok {
		ref = strings.TrimLeft(rest, "/")
	}
	if i := strings.LastIndexAny(ref, "/@"); i >= 0 {
		name = ref[:i]
		if ref[i] == '/' {
			version = ref[i+1:]
		} else {
			alias = ref[i+1:]
		}
		if name == "" || version+alias == "" || version != "" && version != "latest" && !digits(version) {
			return "", "", "", ErrModel
		}
		return name, version, alias, nil
	}
	if ref == "" {
		return "", "", "", ErrModel
	}
	return ref, "", "", nil
}

// VersionFolder is where the files of a version lie.
func VersionFolder(ctx context.Context, c *client.Client, v client.ModelVersion) (client.Folder, error) {
	uri, err := c.DownloadURI(ctx, v.Name, v.Version)
	if err != nil {
		return client.Folder{}, err
	}
	f := client.Folder{URI: uri, Name: v.Name, Version: v.Version}
	if id, ok := strings.CutPrefix(uri, "models:/"); ok { // newer servers name the logged model
		m, err := c.LoggedModel(ctx, id)
		return client.ModelFolder(m), err
	}
	if rest, ok := strings.CutPrefix(uri, "runs:"); ok {
		id, sub, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		run, err := c.Run(ctx, id)
		f.URI = strings.TrimSuffix(run.Info.ArtifactURI, "/") + "/" + sub
		return f, err
	}
	if strings.HasPrefix(uri, "mlflow-artifacts:") {
		return f, nil
	}
	if v.ModelID != "" {
		m, err := c.LoggedModel(ctx, v.ModelID)
		return client.ModelFolder(m), err
	}
	return f, nil
}

// Approval of a model version.
type Approval struct {
	Verdict, By, Reason string
	At                  time.Time
}

// Approve writes an approval as tags; the verdict comes last, so that one that broke off is none.
func Approve(ctx context.Context, c *client.Client, v client.ModelVersion, a Approval) error {
	for _, t := range []client.Pair{
		{Key: TagApprovalBy, Value: a.By},
		{Key: TagApprovalAt, Value: a.At.UTC().Format(time.RFC3339)},
		{Key: TagApprovalReason, Value: a.Reason},
		{Key: TagApproval, Value: a.Verdict},
	} {
		if err := c.SetVersionTag(ctx, v.Name, v.Version, t); err != nil {
			return err
		}
	}
	return nil
}

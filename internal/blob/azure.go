package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// azureObjects are block blobs in a container of Azure Blob Storage.
type azureObjects struct {
	container *container.Client
	signer    *azureSigner
}

// newAzure takes what MLflow takes: a connection string, an account key, a
// SAS token, else an identity of Microsoft Entra.
func newAzure(p Place, getenv func(string) string) (*azureObjects, error) {
	address := "https://" + p.Host + "/" + p.Bucket
	o := &azureObjects{signer: &azureSigner{now: time.Now}}
	var err error
	switch {
	case getenv("AZURE_STORAGE_CONNECTION_STRING") != "":
		if o.signer.key, err = accountKey(getenv("AZURE_STORAGE_CONNECTION_STRING")); err == nil {
			o.container, err = container.NewClientFromConnectionString(getenv("AZURE_STORAGE_CONNECTION_STRING"), p.Bucket, nil)
		}
	case getenv("AZURE_STORAGE_ACCESS_KEY") != "":
		if o.signer.key, err = azblob.NewSharedKeyCredential(p.Account, getenv("AZURE_STORAGE_ACCESS_KEY")); err == nil {
			o.container, err = container.NewClientWithSharedKeyCredential(address, o.signer.key, nil)
		}
	case getenv("AZURE_STORAGE_SAS_TOKEN") != "":
		o.container, err = container.NewClientWithNoCredential(address+"?"+strings.TrimPrefix(getenv("AZURE_STORAGE_SAS_TOKEN"), "?"), nil)
	default:
		identity := &entra{getenv: getenv, client: http.DefaultClient, now: time.Now}
		if o.signer.service, err = service.NewClient("https://"+p.Host+"/", identity, nil); err == nil {
			o.container, err = container.NewClient(address, identity, nil)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("credentials of Azure: %w", err)
	}
	return o, nil
}

func azureError(err error) error {
	switch {
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		return fmt.Errorf("%w: %w", ErrNoStore, err)
	case bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound):
		return fs.ErrNotExist
	case bloberror.HasCode(err, bloberror.InvalidRange):
		return errEnd
	}
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized) {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func version(etag *azcore.ETag) string { return strings.Trim(string(deref(etag)), `"`) }

func (o *azureObjects) get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, Info, error) {
	count := int64(azblob.CountToEnd)
	if n > 0 {
		count = n
	}
	out, err := o.container.NewBlobClient(name).DownloadStream(ctx, &azblob.DownloadStreamOptions{Range: azblob.HTTPRange{Offset: offset, Count: count}})
	if err != nil {
		return nil, Info{}, azureError(err)
	}
	info := Info{Size: deref(out.ContentLength), ModTime: deref(out.LastModified), Version: version(out.ETag)}
	if _, total, ok := strings.Cut(deref(out.ContentRange), "/"); ok {
		if info.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			out.Body.Close()
			return nil, Info{}, fmt.Errorf("range in the answer: %w", err)
		}
	}
	return out.NewRetryReader(ctx, nil), info, nil
}

// isFolder knows the markers that accounts with folders keep for each.
func isFolder(metadata map[string]*string) bool {
	for k, v := range metadata {
		if strings.EqualFold(k, "hdi_isfolder") && strings.EqualFold(deref(v), "true") {
			return true
		}
	}
	return false
}

func (o *azureObjects) head(ctx context.Context, name string) (Info, error) {
	out, err := o.container.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		return Info{}, azureError(err)
	}
	if isFolder(out.Metadata) {
		return Info{}, fs.ErrNotExist
	}
	return Info{Size: deref(out.ContentLength), ModTime: deref(out.LastModified), Version: version(out.ETag)}, nil
}

// newUpload names an upload: two of one name must not share blocks.
func newUpload() string { return rand.Text() }

// blockOf names a block; all of an object must be equally long.
func blockOf(upload string, number int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%08d", upload, number))
}

// put stages blocks and commits them at the end: until then nothing is to be seen.
func (o *azureObjects) put(ctx context.Context, name string, r io.Reader) (info Info, err error) {
	client := o.container.NewBlockBlobClient(name)
	upload := newUpload()
	var size atomic.Int64
	var blocks atomic.Int64
	err = sendParts(ctx, r, func(b []byte) error {
		size.Store(int64(len(b)))
		out, err := client.Upload(ctx, streaming.NopCloser(bytes.NewReader(b)), nil)
		info.Version, info.ModTime = version(out.ETag), deref(out.LastModified)
		return azureError(err)
	}, func() error { return nil }, func(ctx context.Context, number int, b []byte) error {
		size.Add(int64(len(b)))
		blocks.Add(1)
		_, err := client.StageBlock(ctx, blockOf(upload, number), streaming.NopCloser(bytes.NewReader(b)), nil)
		return azureError(err)
	})
	if err != nil {
		return Info{}, err // blocks that nobody commits are gone after a week
	}
	info.Size = size.Load()
	if blocks.Load() == 0 {
		return info, nil
	}
	ids := make([]string, blocks.Load())
	for i := range ids {
		ids[i] = blockOf(upload, i+1)
	}
	out, err := client.CommitBlockList(ctx, ids, nil)
	info.Version, info.ModTime = version(out.ETag), deref(out.LastModified)
	return info, azureError(err)
}

func (o *azureObjects) list(ctx context.Context, prefix string, flat bool, limit int) iter.Seq2[Info, error] {
	var most *int32
	if limit > 0 {
		n := int32(limit) //nolint:gosec // Callers ask for 1.
		most = &n
	}
	if flat {
		return o.listFlat(ctx, prefix, most)
	}
	hierarchy := o.container.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &prefix, MaxResults: most})
	return pages(func() (list []Info, more bool, err error) {
		page, err := hierarchy.NextPage(ctx)
		if err != nil {
			return nil, false, azureError(err)
		}
		for _, p := range page.Segment.BlobPrefixes {
			list = append(list, Info{Key: deref(p.Name), Folder: true})
		}
		for _, item := range page.Segment.BlobItems {
			if !isFolder(item.Metadata) {
				list = append(list, azureInfo(item))
			}
		}
		return list, hierarchy.More(), nil
	})
}

func (o *azureObjects) listFlat(ctx context.Context, prefix string, most *int32) iter.Seq2[Info, error] {
	flat := o.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, MaxResults: most})
	return pages(func() (list []Info, more bool, err error) {
		page, err := flat.NextPage(ctx)
		if err != nil {
			return nil, false, azureError(err)
		}
		for _, item := range page.Segment.BlobItems {
			list = append(list, azureInfo(item))
		}
		return list, flat.More(), nil
	})
}

func azureInfo(item *container.BlobItem) Info {
	info := Info{Key: deref(item.Name)}
	if p := item.Properties; p != nil {
		info.Size, info.ModTime, info.Version = deref(p.ContentLength), deref(p.LastModified), version(p.ETag)
	}
	return info
}

func (o *azureObjects) remove(ctx context.Context, name string) error {
	_, err := o.container.NewBlobClient(name).Delete(ctx, nil)
	return azureError(err)
}

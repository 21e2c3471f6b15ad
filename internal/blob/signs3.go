package blob

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (o *s3Objects) signs() bool { return true }

func (o *s3Objects) beginParts(ctx context.Context, name string, parts int, valid time.Duration) (id string, addresses []string, err error) {
	upload, err := o.begin(ctx, name)
	if err != nil {
		return "", nil, err
	}
	for n := range parts {
		signed, err := o.sign.PresignUploadPart(ctx, &s3.UploadPartInput{
			Bucket: &o.bucket, Key: &name, UploadId: upload, PartNumber: aws.Int32(int32(n + 1)), //nolint:gosec // Callers ask for at most 10,000.
		}, s3.WithPresignExpires(valid))
		if err != nil {
			return "", nil, errors.Join(err, o.abort(ctx, name, upload))
		}
		addresses = append(addresses, signed.URL)
	}
	return aws.ToString(upload), addresses, nil
}

func (o *s3Objects) joinParts(ctx context.Context, name, id string, parts []Part) error {
	var done []types.CompletedPart
	for _, p := range parts {
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}) //nolint:gosec // As above.
	}
	_, err := o.complete(ctx, name, &id, done)
	return err
}

func (o *s3Objects) dropParts(ctx context.Context, name, id string) error {
	return o.abort(ctx, name, &id)
}

func (o *s3Objects) address(ctx context.Context, method, name string, valid time.Duration) (address string, header http.Header, err error) {
	header = http.Header{}
	if method == http.MethodPut {
		in := &s3.PutObjectInput{
			Bucket: &o.bucket, Key: &name,
			ServerSideEncryption: o.extra.ServerSideEncryption, SSEKMSKeyId: o.extra.SSEKMSKeyId, StorageClass: o.extra.StorageClass,
		}
		signed, err := o.sign.PresignPutObject(ctx, in, s3.WithPresignExpires(valid))
		if err != nil {
			return "", nil, err
		}
		for k, v := range signed.SignedHeader {
			if !strings.EqualFold(k, "Host") {
				header[k] = v
			}
		}
		return signed.URL, header, nil
	}
	signed, err := o.sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &name, ResponseContentDisposition: aws.String(Disposition(name))}, s3.WithPresignExpires(valid))
	if err != nil {
		return "", nil, err
	}
	return signed.URL, header, nil
}

package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// s3Objects are objects in a bucket of S3 or of what speaks its protocol.
type s3Objects struct {
	client *s3.Client
	sign   *s3.PresignClient
	bucket string
	extra  s3Extra
}

// s3Extra is MLFLOW_S3_UPLOAD_EXTRA_ARGS: what each upload asks for.
type s3Extra struct {
	ServerSideEncryption types.ServerSideEncryption
	SSEKMSKeyId          *string
	StorageClass         types.StorageClass
}

// newS3 takes its credentials as AWS's own tools do, and MLflow's variables
// for servers that are not AWS's.
func newS3(ctx context.Context, bucket string, getenv func(string) string) (*s3Objects, error) {
	o := &s3Objects{bucket: bucket}
	if args := getenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS"); args != "" {
		d := json.NewDecoder(strings.NewReader(args))
		d.DisallowUnknownFields()
		if err := d.Decode(&o.extra); err != nil {
			return nil, fmt.Errorf("MLFLOW_S3_UPLOAD_EXTRA_ARGS: %w; known are ServerSideEncryption, SSEKMSKeyId and StorageClass", err)
		}
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 2 * parallel
		if ignore, _ := strconv.ParseBool(getenv("MLFLOW_S3_IGNORE_TLS")); ignore {
			t.TLSClientConfig.InsecureSkipVerify = true // it is what the variable asks for
		}
	})
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client))
	if err != nil {
		return nil, fmt.Errorf("settings of AWS: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	o.client = s3.NewFromConfig(cfg, func(s *s3.Options) {
		// Checksums that only AWS knows are left out: other servers refuse them.
		s.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		s.Retryer = retry.AddWithErrorCodes(s.Retryer, "OperationAborted", existingFolder)
		if endpoint := getenv("MLFLOW_S3_ENDPOINT_URL"); endpoint != "" {
			s.BaseEndpoint = &endpoint
		}
		s.UsePathStyle = s.BaseEndpoint != nil && getenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") != "virtual"
	})
	o.sign = s3.NewPresignClient(o.client)
	return o, nil
}

// existingFolder is said by servers over a file system, also while a folder
// is being removed by another request.
const existingFolder = "ExistingObjectIsDirectory"

// s3Error gives the errors of S3 the meaning that this package knows.
func s3Error(err error) error {
	var status *smithyhttp.ResponseError
	if !errors.As(err, &status) {
		return err
	}
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case code == "NoSuchBucket":
		return fmt.Errorf("%w: %w", ErrNoStore, err)
	case code == "InvalidPart" || code == "InvalidPartOrder" || code == "EntityTooSmall":
		return fmt.Errorf("%w: %w", ErrParts, err)
	case code == existingFolder:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case status.HTTPStatusCode() == http.StatusForbidden || status.HTTPStatusCode() == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case status.HTTPStatusCode() == http.StatusNotFound:
		return fs.ErrNotExist
	case status.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable:
		return errEnd
	}
	return err
}

func byteRange(offset, n int64) string {
	if n < 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)
}

func (o *s3Objects) get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, Info, error) {
	in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &name}
	if offset > 0 || n >= 0 {
		in.Range = aws.String(byteRange(offset, n))
	}
	out, err := o.client.GetObject(ctx, in)
	if err != nil {
		return nil, Info{}, s3Error(err)
	}
	info := Info{Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified), Version: unquote(out.ETag)}
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if info.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, Info{}, errors.Join(fmt.Errorf("range %q in the answer: %w", *out.ContentRange, err), out.Body.Close())
		}
	}
	return out.Body, info, nil
}

func unquote(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func (o *s3Objects) head(ctx context.Context, name string) (Info, error) {
	out, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: &name})
	if err != nil {
		return Info{}, s3Error(err)
	}
	return Info{Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified), Version: unquote(out.ETag)}, nil
}

func (o *s3Objects) put(ctx context.Context, name string, r io.Reader) (info Info, err error) {
	var id *string
	var mu sync.Mutex
	var done []types.CompletedPart
	err = sendParts(ctx, r, func(b []byte) error {
		info.Size = int64(len(b))
		out, err := o.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &o.bucket, Key: &name, Body: bytes.NewReader(b),
			ServerSideEncryption: o.extra.ServerSideEncryption, SSEKMSKeyId: o.extra.SSEKMSKeyId, StorageClass: o.extra.StorageClass,
		})
		if err != nil {
			return s3Error(err)
		}
		info.Version = unquote(out.ETag)
		return nil
	}, func() (err error) {
		id, err = o.begin(ctx, name)
		return err
	}, func(ctx context.Context, number int, b []byte) error {
		p := aws.Int32(int32(number)) //nolint:gosec // S3 itself refuses more than 10,000.
		out, err := o.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &o.bucket, Key: &name, UploadId: id, PartNumber: p, Body: bytes.NewReader(b)})
		if err != nil {
			return s3Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		info.Size += int64(len(b))
		done = append(done, types.CompletedPart{PartNumber: p, ETag: out.ETag})
		return nil
	})
	if id == nil || err != nil {
		if id != nil {
			err = errors.Join(err, o.abort(ctx, name, id))
		}
		return info, err
	}
	slices.SortFunc(done, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	if info.Version, err = o.complete(ctx, name, id, done); err != nil {
		return Info{}, errors.Join(err, o.abort(ctx, name, id))
	}
	return info, nil
}

func (o *s3Objects) begin(ctx context.Context, name string) (*string, error) {
	out, err := o.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &o.bucket, Key: &name,
		ServerSideEncryption: o.extra.ServerSideEncryption, SSEKMSKeyId: o.extra.SSEKMSKeyId, StorageClass: o.extra.StorageClass,
	})
	if err != nil {
		return nil, s3Error(err)
	}
	return out.UploadId, nil
}

func (o *s3Objects) complete(ctx context.Context, name string, id *string, parts []types.CompletedPart) (version string, err error) {
	out, err := o.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &o.bucket, Key: &name, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return "", s3Error(err)
	}
	return unquote(out.ETag), nil
}

// abortWithin bounds the clean-up after a failure, which the caller's context no longer does.
const abortWithin = 30 * time.Second

func (o *s3Objects) abort(ctx context.Context, name string, id *string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	_, err := o.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &o.bucket, Key: &name, UploadId: id})
	if err = s3Error(err); IsNotExist(err) {
		return nil
	}
	return err
}

func (o *s3Objects) list(ctx context.Context, prefix string, flat bool, limit int) iter.Seq2[Info, error] {
	in := &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &prefix}
	if !flat {
		in.Delimiter = aws.String("/")
	}
	if limit > 0 {
		in.MaxKeys = aws.Int32(int32(limit)) //nolint:gosec // Callers ask for 1.
	}
	return pages(func() (page []Info, more bool, err error) {
		out, err := o.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, false, s3Error(err)
		}
		for _, p := range out.CommonPrefixes {
			page = append(page, Info{Key: aws.ToString(p.Prefix), Folder: true})
		}
		for _, c := range out.Contents {
			page = append(page, Info{Key: aws.ToString(c.Key), Size: aws.ToInt64(c.Size), ModTime: aws.ToTime(c.LastModified), Version: unquote(c.ETag)})
		}
		in.ContinuationToken = out.NextContinuationToken
		return page, aws.ToBool(out.IsTruncated) && limit == 0, nil
	})
}

func (o *s3Objects) remove(ctx context.Context, name string) error {
	_, err := o.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.bucket, Key: &name})
	return s3Error(err)
}

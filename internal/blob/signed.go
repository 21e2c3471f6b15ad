package blob

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Part is a part of an upload that is there.
type Part struct {
	Number int
	ETag   string
}

// Signer makes addresses by which clients reach an object store themselves,
// for a time, without credentials.
type Signer struct {
	bucket  *ObjectBucket
	objects *s3Objects
}

// SignerOf tells whether a bucket can sign. S3 can; for the others, uploads
// in parts and downloads go through the server.
func SignerOf(b Bucket) (*Signer, bool) {
	if o, ok := b.(*ObjectBucket); ok {
		if s, ok := o.objects.(*s3Objects); ok {
			return &Signer{o, s}, true
		}
	}
	return nil, false
}

// Begin starts an upload in parts and gives the address of each.
func (s *Signer) Begin(ctx context.Context, key string, parts int, valid time.Duration) (id string, addresses []string, err error) {
	if err := CheckKey(key); err != nil {
		return "", nil, err
	}
	if err := s.bucket.checkFree(ctx, key); err != nil {
		return "", nil, s.bucket.fail("store", key, err)
	}
	name := s.bucket.prefix + key
	upload, err := s.objects.begin(ctx, name)
	if err != nil {
		return "", nil, s.bucket.fail("store", key, err)
	}
	for n := range parts {
		signed, err := s.objects.sign.PresignUploadPart(ctx, &s3.UploadPartInput{
			Bucket: &s.objects.bucket, Key: &name, UploadId: upload, PartNumber: aws.Int32(int32(n + 1)), //nolint:gosec // Callers ask for at most 10,000.
		}, s3.WithPresignExpires(valid))
		if err != nil {
			return "", nil, s.bucket.fail("store", key, err)
		}
		addresses = append(addresses, signed.URL)
	}
	return aws.ToString(upload), addresses, nil
}

// Complete makes the parts the content of the key.
func (s *Signer) Complete(ctx context.Context, key, id string, parts []Part) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	var done []types.CompletedPart
	for _, p := range parts {
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}) //nolint:gosec // As above.
	}
	version, err := s.objects.complete(ctx, s.bucket.prefix+key, &id, done)
	if err != nil {
		return Info{}, s.bucket.fail("store", key, err)
	}
	s.bucket.known.add(key)
	return Info{Key: key, Version: version}, nil
}

// Abort drops the parts.
func (s *Signer) Abort(ctx context.Context, key, id string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return s.objects.abort(ctx, s.bucket.prefix+key, &id)
}

// Address lets a key be read (GET) or written (PUT), with the headers that must be sent.
func (s *Signer) Address(ctx context.Context, method, key string, valid time.Duration) (address string, header http.Header, err error) {
	if err := CheckKey(key); err != nil {
		return "", nil, err
	}
	name := s.bucket.prefix + key
	header = http.Header{}
	if method == http.MethodPut {
		in := &s3.PutObjectInput{
			Bucket: &s.objects.bucket, Key: &name,
			ServerSideEncryption: s.objects.extra.ServerSideEncryption, SSEKMSKeyId: s.objects.extra.SSEKMSKeyId, StorageClass: s.objects.extra.StorageClass,
		}
		signed, err := s.objects.sign.PresignPutObject(ctx, in, s3.WithPresignExpires(valid))
		if err != nil {
			return "", nil, s.bucket.fail("sign", key, err)
		}
		for k, v := range signed.SignedHeader {
			if !strings.EqualFold(k, "Host") {
				header[k] = v
			}
		}
		return signed.URL, header, nil
	}
	signed, err := s.objects.sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &s.objects.bucket, Key: &name}, s3.WithPresignExpires(valid))
	if err != nil {
		return "", nil, s.bucket.fail("sign", key, err)
	}
	return signed.URL, header, nil
}

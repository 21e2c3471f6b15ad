package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Part is a part of an upload that is there.
type Part struct {
	Number int
	ETag   string
}

// Errors of a [Signer].
var (
	// ErrCannotSign is a bucket whose credentials turned out not to be able to sign.
	ErrCannotSign = errors.New("the credentials cannot sign addresses")
	// ErrParts are parts of an upload that are not there as the caller says.
	ErrParts = errors.New("the parts of the upload are not there as they were sent")
)

// signing is an object store that lets clients in by addresses.
type signing interface {
	// signs tells whether the credentials can sign, as far as is known.
	signs() bool
	// beginParts starts an upload in parts and gives the address of each.
	beginParts(ctx context.Context, name string, parts int, valid time.Duration) (id string, addresses []string, err error)
	// joinParts makes the parts the content of the name.
	joinParts(ctx context.Context, name, id string, parts []Part) error
	// dropParts forgets an upload; one that is not there is no error.
	dropParts(ctx context.Context, name, id string) error
	// address lets a name be read (GET) or written (PUT), with the headers that must be sent.
	address(ctx context.Context, method, name string, valid time.Duration) (address string, header http.Header, err error)
}

// Signer makes addresses by which clients reach an object store themselves,
// for a time, without credentials.
type Signer struct {
	bucket  *ObjectBucket
	objects signing
}

// SignerOf tells whether a bucket can sign: an object store whose credentials
// are more than a token. Of credentials that sign at another service this is
// not known before the first try, which then is ErrCannotSign.
func SignerOf(b Bucket) (*Signer, bool) {
	if o, ok := b.(*ObjectBucket); ok {
		if s, ok := o.objects.(signing); ok && s.signs() {
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
	if id, addresses, err = s.objects.beginParts(ctx, s.bucket.prefix+key, parts, valid); err != nil {
		return "", nil, s.bucket.fail("store", key, err)
	}
	return id, addresses, nil
}

// Complete makes the parts the content of the key.
func (s *Signer) Complete(ctx context.Context, key, id string, parts []Part) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := s.objects.joinParts(ctx, s.bucket.prefix+key, id, parts); err != nil {
		return s.bucket.fail("store", key, err)
	}
	s.bucket.known.add(key)
	return nil
}

// Abort drops the parts.
func (s *Signer) Abort(ctx context.Context, key, id string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := s.objects.dropParts(ctx, s.bucket.prefix+key, id); err != nil {
		return s.bucket.fail("drop the parts of", key, err)
	}
	return nil
}

// Address lets a key be read (GET) or written (PUT), with the headers that
// must be sent. What is read comes as a file to be saved, so that a browser
// does not show it.
func (s *Signer) Address(ctx context.Context, method, key string, valid time.Duration) (address string, header http.Header, err error) {
	if err := CheckKey(key); err != nil {
		return "", nil, err
	}
	if address, header, err = s.objects.address(ctx, method, s.bucket.prefix+key, valid); err != nil {
		return "", nil, s.bucket.fail("sign", key, err)
	}
	return address, header, nil
}

// token is what a parameter of a header may have without quotes.
func token(r rune) bool { return r > ' ' && r <= '~' && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }

// Disposition is the Content-Disposition of a file to be saved: its name in
// ASCII, in quotes where it needs them, and, if it needs more, in UTF-8 as well.
func Disposition(key string) string {
	name := path.Base(key)
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	quoted := ascii
	if strings.ContainsFunc(ascii, func(r rune) bool { return !token(r) }) {
		quoted = strconv.Quote(ascii)
	}
	if ascii == name {
		return "attachment; filename=" + quoted
	}
	return fmt.Sprintf("attachment; filename=%s; filename*=UTF-8''%s", quoted, strings.ReplaceAll(url.QueryEscape(name), "+", "%20"))
}

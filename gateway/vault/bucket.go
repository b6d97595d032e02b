package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
	"gocloud.dev/gcerrors"
)

// Bucket is a vault in an object store. Nothing that the store says is trusted: what is
// read is compared with size and digest as with any vault.
//
// A part lies under its name (64 hexadecimal digits), after the URL's prefix, and is put
// there on the condition that nothing does yet (If-None-Match, which the store must
// support). An upload that is cut off is never visible; its pieces remain on the server
// until its own rule for unfinished multipart uploads removes them: set one.
type Bucket struct{ b *blob.Bucket }

var _ Vault = (*Bucket)(nil)

// OpenURL opens a vault: a directory by its path, or an object store by URL, for example
//
//	s3://bucket?region=cn-north-1&prefix=sealed/
//	s3://bucket?endpoint=https://store.hospital.example&use_path_style=true&region=any
//
// (https://gocloud.dev/howto/blob/#s3 lists the parameters). Credentials come from where
// the AWS tools look for them, environment, files, or the machine's role; never from the
// URL, which is shown in errors and configurations: one that holds any is refused.
func OpenURL(ctx context.Context, at string) (Vault, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme == "" {
		return OpenDir(at)
	}
	if u.Scheme != "s3" {
		return nil, fmt.Errorf("a vault is a directory or an s3:// URL, not %s://", u.Scheme)
	}
	if u.User != nil {
		return nil, errors.New("the vault's URL holds a user or password: give credentials by environment or file (AWS_ACCESS_KEY_ID, AWS_SHARED_CREDENTIALS_FILE)")
	}
	// The store's own checksums prove nothing to us, and the SDK warns where it lacks one.
	query := u.Query()
	if !query.Has(checksums) {
		query.Set(checksums, "when_required")
		u.RawQuery = query.Encode()
	}
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open vault %s: %w", at, err)
	}
	if ok, err := b.IsAccessible(ctx); !ok || err != nil {
		return nil, errors.Join(fmt.Errorf("the vault %s can't be reached: check that the bucket exists, and the credentials", at), err, b.Close())
	}
	return &Bucket{b}, nil
}

const checksums = "response_checksum_validation"

// Close lets the connections go.
func (b *Bucket) Close() error { return b.b.Close() }

// Put implements Vault.
func (b *Bucket) Put(ctx context.Context, name Name, write func(io.Writer) error) error {
	if err := b.put(ctx, name, write); err != nil {
		return fmt.Errorf("put part %s: %w", name, err)
	}
	return nil
}

func (b *Bucket) put(ctx context.Context, name Name, write func(io.Writer) error) error {
	switch there, err := b.b.Exists(ctx, name.String()); {
	case err != nil:
		return err
	case there:
		return ErrExists // before the work; IfNotExist decides
	}
	// A writer that is closed after its context has ended writes nothing.
	ctx, abandon := context.WithCancel(ctx)
	defer abandon()
	w, err := b.b.NewWriter(ctx, name.String(), &blob.WriterOptions{
		ContentType: "application/octet-stream", IfNotExist: true, BufferSize: uploadSize, MaxConcurrency: uploads,
	})
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		abandon()
		w.Close()
		return err
	}
	err = w.Close()
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return ErrExists
	}
	return err
}

// What one Put holds in memory at most: uploads+1 pieces of uploadSize bytes. S3 takes
// 10,000 pieces, so that a part may have 80 GB.
const (
	uploadSize = 8 << 20
	uploads    = 2
)

// Open implements Vault.
func (b *Bucket) Open(ctx context.Context, name Name, want Sum) (Blob, error) {
	r, err := b.b.NewReader(ctx, name.String(), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("open part %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open part %s: %w", name, err)
	}
	if r.Size() != want.Size {
		return nil, errors.Join(fmt.Errorf("open part %s: %d bytes, not %d: %w", name, r.Size(), want.Size, ErrCorrupt), r.Close())
	}
	return newChecked(&object{Reader: r, bucket: b.b, ctx: ctx, name: name}, name, want), nil
}

// Range implements Vault.
func (b *Bucket) Range(ctx context.Context, name Name, want Sum, off, n int64) (io.ReadCloser, error) {
	if err := within(name, want, off, n); err != nil {
		return nil, err
	}
	r, err := b.b.NewRangeReader(ctx, name.String(), off, n, nil)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, fmt.Errorf("read part %s: %w", name, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("read part %s: %w", name, err)
	case r.Size() != want.Size:
		return nil, errors.Join(fmt.Errorf("read part %s: %d bytes, not %d: %w", name, r.Size(), want.Size, ErrCorrupt), r.Close())
	}
	return r, nil
}

// object is a stored part: one stream from the start, and a request for each range.
type object struct {
	*blob.Reader
	bucket *blob.Bucket
	ctx    context.Context
	name   Name
}

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off >= o.Size() {
		return 0, io.EOF
	}
	r, err := o.bucket.NewRangeReader(o.ctx, o.name.String(), off, min(int64(len(p)), o.Size()-off), nil)
	if err != nil {
		return 0, fmt.Errorf("read part %s: %w", o.name, err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Delete implements Vault.
func (b *Bucket) Delete(ctx context.Context, name Name) error {
	if err := b.b.Delete(ctx, name.String()); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete part %s: %w", name, err)
	}
	return nil
}

// List implements Vault. Objects that aren't parts are passed over.
func (b *Bucket) List(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for o, err := range objects(ctx, b.b) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("list vault: %w", err))
				return
			}
			name, err := ParseName(o.Key)
			if err != nil || strings.ToLower(o.Key) != o.Key {
				continue
			}
			if !yield(Entry{Name: name, Size: o.Size, Written: o.ModTime}, nil) {
				return
			}
		}
	}
}

func objects(ctx context.Context, b *blob.Bucket) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		for list := b.List(nil); ; {
			o, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

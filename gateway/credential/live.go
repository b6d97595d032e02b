package credential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Live is a pair that is read anew when its files change, so that it can be replaced
// without a restart. While the files can't be read, the pair read before serves on. It is
// safe for concurrent use.
type Live struct {
	files Files

	mu     sync.Mutex
	loaded *tls.Certificate
	as     Version
	looked time.Time
}

// Version tells one state of the files from another: when they were written, and as which
// files, since a replacement may come within the clock's resolution. The zero Version is of
// files that can't be read.
type Version struct{ cert, key fileVersion }

type fileVersion struct {
	at       time.Time
	size     int64
	dev, ino uint64
}

// lookEvery bounds how often the files are looked at.
const lookEvery = time.Second

// Open reads a pair for the first time.
func Open(f Files) (*Live, error) {
	l := &Live{files: f}
	_, err := l.Current()
	return l, err
}

// Current is the pair as it is now, up to a second ago.
func (l *Live) Current() (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded != nil && time.Since(l.looked) < lookEvery {
		return l.loaded, nil
	}
	l.looked = time.Now()
	now := l.files.Version()
	if l.loaded != nil && now == l.as {
		return l.loaded, nil
	}
	read, err := l.files.certificate()
	switch {
	case err == nil:
		l.loaded, l.as = read, now
	case l.loaded == nil:
		return nil, fmt.Errorf("loading a certificate: %w", err)
	}
	return l.loaded, nil
}

// ForServer is for tls.Config.GetCertificate.
func (l *Live) ForServer(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.Current() }

// ForClient is for tls.Config.GetClientCertificate.
func (l *Live) ForClient(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return l.Current() }

func (f Files) certificate() (*tls.Certificate, error) {
	cert, key, err := f.Read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, err
	}
	return &pair, nil
}

// Leaf reads the certificate.
func (f Files) Leaf() (*x509.Certificate, error) {
	pair, err := f.certificate()
	if err != nil {
		return nil, fmt.Errorf("loading a certificate: %w", err)
	}
	return pair.Leaf, nil
}

// Version is the files' present one.
func (f Files) Version() Version { return Version{versionOf(f.Cert), versionOf(f.Key)} }

func versionOf(name string) fileVersion {
	info, err := os.Stat(name)
	if err != nil {
		return fileVersion{}
	}
	v := fileVersion{at: info.ModTime(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		v.dev, v.ino = uint64(sys.Dev), sys.Ino
	}
	return v
}

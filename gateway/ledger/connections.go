package ledger

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/credential"
)

// connections are those to every peer, under the member's present identity.
type connections struct {
	mu      sync.Mutex
	cfg     Config
	now     []*peerConn
	files   [2]credential.Version // of the identity, of the TLS certificate
	looked  time.Time
	retired map[*time.Timer][]*peerConn
	closed  bool
}

// lookEvery bounds how often the identity's files are looked at.
const lookEvery = time.Second

// retireAfter is how long a call may go on that began under an identity since replaced.
func (c Config) retireAfter() time.Duration { return endorseTimeout + c.Patience + submitTimeout }

func (c *connections) open(cfg Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg, c.retired = cfg, map[*time.Timer][]*peerConn{}
	var err error
	c.files = cfg.versions()
	c.now, err = dialAll(cfg)
	return err
}

// current are the connections for a call that begins now.
func (c *connections) current() []*peerConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || time.Since(c.looked) < lookEvery {
		return c.now
	}
	c.looked = time.Now()
	files := c.cfg.versions()
	if files == c.files {
		return c.now
	}
	next, err := dialAll(c.cfg)
	if err != nil { // it is being replaced, perhaps: look again
		c.cfg.Logger.Warn("the member's identity has changed and can't be used; the one before serves on", "error", err)
		return c.now
	}
	c.cfg.Logger.Info("the member's identity has changed: calls go out under the new one")
	c.retire(c.now)
	c.now, c.files = next, files
	return c.now
}

// retire closes connections once no call can be under way on them.
func (c *connections) retire(old []*peerConn) {
	var t *time.Timer
	t = time.AfterFunc(c.cfg.retireAfter(), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.retired[t]; !ok {
			return
		}
		delete(c.retired, t)
		if err := closeAll(old); err != nil {
			c.cfg.Logger.Debug("closing connections of an identity that was replaced", "error", err)
		}
	})
	c.retired[t] = old
}

func (c *connections) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	err := closeAll(c.now)
	for t, old := range c.retired {
		t.Stop()
		err = errors.Join(err, closeAll(old))
	}
	clear(c.retired)
	return err
}

func closeAll(conns []*peerConn) (err error) {
	for _, p := range conns {
		err = errors.Join(err, p.close())
	}
	return err
}

// versions tell whether the files of the identity have changed.
func (c Config) versions() (v [2]credential.Version) {
	v[0] = credential.Files{Cert: c.Cert, Key: c.Key}.Version()
	if c.TLSCert != "" {
		v[1] = credential.Files{Cert: c.TLSCert, Key: c.TLSKey}.Version()
	}
	return v
}

func dialAll(cfg Config) (conns []*peerConn, err error) {
	id, sign, err := readIdentity(cfg)
	if err != nil {
		return nil, fmt.Errorf("ledger identity: %w", err)
	}
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: id.MspID(), IdBytes: id.Credentials()})
	if err != nil {
		return nil, fmt.Errorf("ledger identity: %w", err)
	}
	for _, p := range cfg.Peers {
		conn, err := connect(cfg, p, id, sign)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("peer %s: %w", p.Address, err), closeAll(conns))
		}
		conn.creator, conn.sign = creator, sign
		conns = append(conns, conn)
	}
	return conns, nil
}

func readIdentity(cfg Config) (identity.Identity, identity.Sign, error) {
	certPEM, keyPEM, err := credential.Files{Cert: cfg.Cert, Key: cfg.Key}.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("the enrolment: %w", err)
	}
	cert, err := identity.CertificateFromPEM(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("enrolment certificate %s: %w", cfg.Cert, err)
	}
	key, err := identity.PrivateKeyFromPEM(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("enrolment key %s: %w", cfg.Key, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, fmt.Errorf("enrolment key %s: %w", cfg.Key, err)
	}
	id, err := identity.NewX509Identity(cfg.MSP, cert)
	return id, sign, err
}

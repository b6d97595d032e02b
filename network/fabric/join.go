package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/network/topology"
)

// joinOrderer makes an ordering node take part in the channel, through Fabric's
// channel participation API. It does nothing when it already does.
func (n *Network) joinOrderer(ctx context.Context, m *Member, o *topology.Orderer, genesis []byte) error {
	config, err := m.Admin().TLSConfig(m.TLSCA())
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	admin := http.Client{Transport: transport, Timeout: 20 * time.Second}
	channels := "https://" + o.AdminAddress() + "/participation/v1/channels"
	return retry(ctx, "joining ordering node "+o.Name+" to the channel", func() error {
		joined, err := do(ctx, &admin, http.MethodGet, channels+"/"+n.topology.Channel, "", nil)
		if err != nil {
			return err
		}
		if joined.code == http.StatusOK {
			return nil
		}
		body, kind, err := multipartFile("config-block", genesis)
		if err != nil {
			return final(err)
		}
		answer, err := do(ctx, &admin, http.MethodPost, channels, kind, body)
		if err != nil {
			return err
		}
		if answer.code == http.StatusBadRequest {
			return final(errors.New(answer.text))
		}
		if answer.code != http.StatusCreated {
			return fmt.Errorf("status %d: %s", answer.code, answer.text)
		}
		return nil
	})
}

type answer struct {
	code int
	text string
}

func do(ctx context.Context, c *http.Client, method, url, kind string, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return answer{resp.StatusCode, strings.TrimSpace(string(text))}, err
}

func multipartFile(field string, content []byte) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, field)
	if err != nil {
		return nil, "", err
	}
	if _, err := part.Write(content); err != nil {
		return nil, "", err
	}
	err = w.Close() // before Bytes: it writes the end
	return b.Bytes(), w.FormDataContentType(), err
}

// joinPeer makes the member's peer take part in the channel, if it doesn't yet.
func (n *Network) joinPeer(ctx context.Context, m *Member, genesis []byte) error {
	c, err := n.admin(m)
	if err != nil {
		return err
	}
	return retry(ctx, "joining the peer of "+m.Name+" to the channel", func() error {
		raw, err := c.systemCall(ctx, common.HeaderType_ENDORSER_TRANSACTION, "cscc", "GetChannels")
		if err != nil {
			return err
		}
		var joined peer.ChannelQueryResponse
		if err := proto.Unmarshal(raw, &joined); err != nil {
			return final(err)
		}
		if slices.ContainsFunc(joined.Channels, func(i *peer.ChannelInfo) bool { return i.ChannelId == n.topology.Channel }) {
			return nil
		}
		_, err = c.systemCall(ctx, common.HeaderType_CONFIG, "cscc", "JoinChain", genesis)
		return err
	})
}

func (n *Network) genesisBlock() ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(n.dir, "genesis.block"))
	if err != nil {
		return nil, fmt.Errorf("reading the channel's first block: %w", err)
	}
	return b, nil
}

// retry acts until it succeeds, fails for good or ctx ends. The steps of a start
// depend on processes that come up in any order, so most failures are "not yet".
func retry(ctx context.Context, doing string, act func() error) error {
	pause := 20 * time.Millisecond
	for {
		err := act()
		var end *finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &end):
			return fmt.Errorf("%s: %w", doing, end.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last: %w)", doing, context.Cause(ctx), err)
		case <-time.After(pause):
		}
		pause = min(pause*3/2, 500*time.Millisecond)
	}
}

// finalError is one that trying again doesn't cure.
type finalError struct{ error }

func final(err error) error { return &finalError{err} }

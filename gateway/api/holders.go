package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

var _ share.Holders = (*Counterparts)(nil)

func (c *Counterparts) keeper(m registry.Member) (yitongv1.EscrowClient, error) {
	conn, err := c.conn(m)
	if err != nil {
		return nil, err
	}
	return yitongv1.NewEscrowClient(conn), nil
}

// Deposit implements share.Holders.
func (c *Counterparts) Deposit(ctx context.Context, holder registry.Member, d share.Deposit, sealed func(part int) (io.ReadCloser, error)) error {
	client, err := c.keeper(holder)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	header := &yitongv1.DepositHeader{Share: encryptedMessage(d.Share), Height: d.Height}
	if header.Package, err = json.Marshal(d.Package); err != nil {
		return fmt.Errorf("encoding a package: %w", err)
	}
	if len(d.Parts) > 0 {
		if header.Parts, err = json.Marshal(d.Parts); err != nil {
			return fmt.Errorf("encoding parts: %w", err)
		}
	}
	stream, err := client.Deposit(ctx)
	if err != nil {
		return remote(err)
	}
	// A stream that the other side has ended says io.EOF here; why is in its answer.
	err = stream.Send(&yitongv1.DepositRequest{Message: &yitongv1.DepositRequest_Header{Header: header}})
	for _, p := range d.Parts {
		if err != nil {
			break
		}
		from, serr := sealed(p.Index)
		if serr != nil {
			return serr
		}
		err = copySealed(from, d.Package.Record, p.Index, p.SealedSize, func(chunk *yitongv1.SealedChunk) error {
			return stream.Send(&yitongv1.DepositRequest{Message: &yitongv1.DepositRequest_Chunk{Chunk: chunk}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return remote(err)
	}
	_, err = stream.CloseAndRecv()
	return remote(err)
}

// Index implements share.Holders.
func (c *Counterparts) Index(ctx context.Context, regulator registry.Member, entries []share.IndexEntry) error {
	client, err := c.keeper(regulator)
	if err != nil {
		return err
	}
	in := &yitongv1.IndexRequest{}
	for _, e := range entries {
		in.Entries = append(in.Entries, &yitongv1.IndexEntry{Requester: e.Requester, Handle: e.Handle, RecordId: e.Record})
	}
	_, err = client.Index(ctx, in)
	return remote(err)
}

// Recover implements share.Holders.
func (c *Counterparts) Recover(ctx context.Context, regulator registry.Member, custodian, permit string, height uint64) (share.RecoveryDelivery, error) {
	client, err := c.keeper(regulator)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := client.Recover(ctx, &yitongv1.EscrowRecoverRequest{Custodian: custodian, Permit: permit, Height: height, Keys: share.Expected(ctx)})
	if err != nil {
		cancel()
		return nil, remote(err)
	}
	d := &recovery{delivery: delivery{cancel: cancel, chunk: func() (*yitongv1.SealedChunk, error) {
		m, err := stream.Recv()
		return m.GetChunk(), err
	}}}
	if err := d.open(stream); err != nil {
		cancel()
		return nil, err
	}
	return d, nil
}

// recovery reads what a regulator sends in a custodian's place.
type recovery struct {
	delivery
	packages []*escrow.Package
	shares   seal.Message
}

func (d *recovery) open(stream grpc.ServerStreamingClient[yitongv1.EscrowRecoverResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return remote(err)
	}
	if err := d.begin(first.GetHeader().GetManifest(), nil); err != nil {
		return err
	}
	d.shares = encryptedOf(first.GetHeader().GetShares())
	for range d.manifest.Records {
		m, err := stream.Recv()
		if err != nil {
			return remote(err)
		}
		p := &escrow.Package{}
		if err := readDocument(m.GetPackage(), p); err != nil {
			return errors.New("the regulator sent something else than a package")
		}
		d.packages = append(d.packages, p)
	}
	return nil
}

func (d *recovery) Packages() []*escrow.Package { return d.packages }
func (d *recovery) Shares() seal.Message        { return d.shares }

// Share implements share.Holders.
func (c *Counterparts) Share(ctx context.Context, holder registry.Member, q share.ShareQuery) (seal.Message, error) {
	client, err := c.keeper(holder)
	if err != nil {
		return seal.Message{}, err
	}
	manifest, err := json.Marshal(q.Manifest)
	if err != nil {
		return seal.Message{}, fmt.Errorf("encoding the manifest: %w", err)
	}
	out, err := client.Share(ctx, &yitongv1.ShareRequest{Custodian: q.Custodian, Permit: q.Permit, Manifest: manifest, Height: q.Height, Keys: share.Expected(ctx)})
	return encryptedOf(out.GetShares()), remote(err)
}

// Forget implements share.Holders.
func (c *Counterparts) Forget(ctx context.Context, holder registry.Member, recordID string, parts []int) error {
	client, err := c.keeper(holder)
	if err != nil {
		return err
	}
	in := &yitongv1.ForgetRequest{RecordId: recordID}
	for _, p := range parts {
		in.Parts = append(in.Parts, int32(p))
	}
	_, err = client.Forget(ctx, in)
	return remote(err)
}

// Alive implements share.Holders.
func (c *Counterparts) Alive(ctx context.Context, member registry.Member) error {
	client, err := c.keeper(member)
	if err != nil {
		return err
	}
	_, err = client.Alive(ctx, &yitongv1.AliveRequest{})
	return remote(err)
}

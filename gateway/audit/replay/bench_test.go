package replay_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

// BenchmarkReplay measures the whole replay against its limit: on the same chain, in the
// same run and taking turns, the hashing and the ECDSA verifications alone that nobody can
// do without, prepared beforehand and on all processors. YITONG_BENCH_TRANSACTIONS sets the
// length of the chain (default 5000).
func BenchmarkReplay(b *testing.B) {
	n := 5000
	if s := os.Getenv("YITONG_BENCH_TRANSACTIONS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	c := replaytest.New(b, replaytest.Options{Seed: 7, PerBlock: 100})
	c.History(n)
	raw := c.Encoded()
	limit := limitOf(b, c)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the command does; for both
	var whole, least, wholeCPU, leastCPU time.Duration
	transactions := 0
	b.ResetTimer()
	for b.Loop() {
		began, used := time.Now(), processorTime(b)
		limit()
		least, leastCPU = least+time.Since(began), leastCPU+processorTime(b)-used
		began, used = time.Now(), processorTime(b)
		r := run(b, c, raw)
		whole, wholeCPU = whole+time.Since(began), wholeCPU+processorTime(b)-used
		if !r.Sound() {
			b.Fatal(r.Divergences[0])
		}
		transactions += r.Transactions
	}
	b.ReportMetric(float64(transactions)/whole.Seconds(), "tx/s")
	b.ReportMetric(float64(transactions)/least.Seconds(), "limit-tx/s")
	b.ReportMetric(least.Seconds()/whole.Seconds(), "of-limit")
	b.ReportMetric(leastCPU.Seconds()/wholeCPU.Seconds(), "of-limit-by-cpu") // for a machine that others use too
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// limitOf gathers what has to be hashed and verified, and returns the doing of it.
func limitOf(b *testing.B, c *replaytest.Chain) func() {
	type check struct {
		key          *ecdsa.PublicKey
		message, sig []byte
	}
	keys := map[string]*ecdsa.PublicKey{}
	keyOf := func(serialized []byte) *ecdsa.PublicKey {
		if k, ok := keys[string(serialized)]; ok {
			return k
		}
		var id msp.SerializedIdentity
		read(b, serialized, &id)
		block, _ := pem.Decode(id.IdBytes)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.Fatal(err)
		}
		keys[string(serialized)] = cert.PublicKey.(*ecdsa.PublicKey)
		return keys[string(serialized)]
	}
	var checks []check
	var hashes [][]byte
	for n, block := range c.Blocks {
		hashes = append(hashes, block.Data.Data...)
		if n == 0 {
			continue
		}
		for range 3 { // the orderers' signatures: as long as any other
			p := c.Orgs[0].Orderer
			checks = append(checks, check{keyOf(p.Serialized), []byte("block"), p.Sign([]byte("block"))})
		}
		for _, raw := range block.Data.Data {
			env, payload, tx := &common.Envelope{}, &common.Payload{}, &peer.Transaction{}
			action, head := &peer.ChaincodeActionPayload{}, &common.SignatureHeader{}
			read(b, raw, env)
			read(b, env.Payload, payload)
			read(b, payload.Header.SignatureHeader, head)
			read(b, payload.Data, tx)
			read(b, tx.Actions[0].Payload, action)
			checks = append(checks, check{keyOf(head.Creator), env.Payload, env.Signature})
			for _, e := range action.Action.Endorsements {
				checks = append(checks, check{keyOf(e.Endorser), append(append([]byte{}, action.Action.ProposalResponsePayload...), e.Endorser...), e.Signature})
			}
		}
	}
	b.Logf("%d hashes, %d signatures", len(hashes), len(checks))
	return func() {
		var next atomic.Int64
		var all sync.WaitGroup
		var bad atomic.Int64
		for range runtime.GOMAXPROCS(0) {
			all.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(checks); i = int(next.Add(1)) - 1 {
					if i < len(hashes) {
						_ = sha256.Sum256(hashes[i])
					}
					digest := sha256.Sum256(checks[i].message)
					if !ecdsa.VerifyASN1(checks[i].key, digest[:], checks[i].sig) {
						bad.Add(1)
					}
				}
			})
		}
		all.Wait()
		if bad.Load() > 0 {
			b.Fatal("a signature of the baseline is bad")
		}
	}
}

func read(t testing.TB, raw []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkExport measures writing and reading an export.
func BenchmarkExport(b *testing.B) {
	c := replaytest.New(b, replaytest.Options{Seed: 7, PerBlock: 100})
	c.History(500)
	var size int64
	for b.Loop() {
		size = 0
		var file counted
		w, err := replay.NewWriter(&file, 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, block := range c.Blocks {
			if err := w.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		size = int64(file)
	}
	b.SetBytes(size)
}

type counted int64

func (c *counted) Write(p []byte) (int, error) { *c += counted(len(p)); return len(p), nil }

// Package node is the gateway as a running process: it reads the configuration,
// opens what the gateway keeps, joins the consortium and serves until it is told
// to stop.
//
//	configuration ─▶ key store, vault, ledger ─▶ enrolled in the registry
//	              ─▶ what a crash left half done is finished ─▶ serving
package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/renameio/v2"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/audit/emergency"
	"yitong/gateway/audit/projection"
	"yitong/gateway/backup"
	"yitong/gateway/credential"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/policy"
	"yitong/gateway/retention"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// fateTime is how long a gateway asks for the fate of a transaction before it tells
// its caller that it isn't known: several changes of the ordering nodes' leader.
const fateTime = 15 * time.Second

// stopTime is how long a gateway that is told to stop waits for calls under way.
const stopTime = 20 * time.Second

// Run serves a gateway until ctx ends, and then lets what is under way finish.
// version is what it tells callers of itself. What comes over changed is put into force as far
// as it can be without a restart; nil never changes.
//
// When it is told to stop it isn't ready any more from then on, serves new calls for a moment
// yet, for whoever hasn't seen that, and finishes what is under way, at both doors.
func Run(ctx context.Context, config Config, version string, log *slog.Logger, changed <-chan Config) (err error) {
	read, err := readPolicy(config.Policy)
	if err != nil {
		return err
	}
	rules := &livePolicy{}
	rules.now.Store(read)
	traces, err := config.openTracing(ctx, version, log)
	if err != nil {
		return err
	}
	if traces != nil {
		defer func() {
			last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := traces.Shutdown(last); err != nil {
				log.Warn("the last traces aren't exported", "error", err)
			}
		}()
	}
	if err := config.wholeRestore(); err != nil {
		return err
	}
	store, err := openKeys(config)
	if err != nil {
		return err
	}
	defer closing(&err, store.Close)
	if err := backup.Clean(config.State); err != nil { // after the key store is locked: nobody else's
		return err
	}
	sealed, err := vault.OpenURL(ctx, config.Vault)
	if err != nil {
		return err
	}
	defer closing(&err, sealed.Close)
	writes, err := openOutbox(ctx, config, store, log)
	if err != nil {
		return err
	}
	defer closing(&err, writes.Close)
	chain, err := dial(ctx, config, config.Identity, writes, log)
	if err != nil {
		return err
	}
	defer closing(&err, chain.Close)
	var clinicians share.Submitter
	if config.Clinicians != nil {
		as, err := dial(ctx, config, *config.Clinicians, writes, log)
		if err != nil {
			return fmt.Errorf("clinicians: %w", err)
		}
		defer closing(&err, as.Close)
		clinicians = as
	}
	limits := api.NewLimiter(config.Limits)
	told, now := operate(ctx, config, version, chain, store, sealed, limits, writes)
	chain.Observe(told.Transacted)
	sealed = observedVault{sealed, told.Stored}
	following, unfollow := context.WithCancel(ctx)
	var kept sync.WaitGroup
	defer kept.Wait()
	defer unfollow()
	// Operators are answered to the end, which is after all else.
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer unwatch()
	if config.Operations != "" {
		watching.Go(func() {
			if err := told.Serve(watched, config.Operations, log); err != nil {
				log.Error("operators can't be answered", "error", err)
			}
		})
	}
	bearers, err := openIdentity(config, store)
	if err != nil {
		return err
	}
	defer closing(&err, bearers.Close)
	bearers.tell(told)
	trust, err := readTrust(config.Trust)
	if err != nil {
		return err
	}
	revocations, err := credential.OpenRevocations(config.Trust, trust, log)
	if err != nil {
		return err
	}
	shown, err := credential.Open(credential.Files(config.TLS))
	if err != nil {
		return err
	}
	others := api.NewCounterparts(trust, revocations, shown.ForClient)
	defer closing(&err, others.Close)

	keep, err := retention.Parse(config.Retention, config.RetentionWarning)
	if err != nil {
		return err
	}
	every, err := config.retentionSweep()
	if err != nil {
		return err
	}
	mark, err := openWatermark(ctx, chain, writes, store, log)
	if err != nil {
		return err
	}
	gateway, err := share.New(share.Config{
		Self: registry.Candidate{
			MSP: config.Member.MSP, Name: config.Member.Name, Kind: config.Member.Kind, Gateway: config.Member.Gateway,
		},
		Ledger: chain, Clinicians: clinicians, Keys: store, Vault: sealed, Exchange: others, Log: log,
		Review:  config.ReviewOrders,
		Channel: config.Channel, Evaluator: config.Evaluator, Quota: config.Quota,
		Retention: keep, Sweep: every, NoCopies: config.Copies.Off, Uploads: config.Uploads.policy(),
		Current: mark.current,
		Holders: others, Escrow: share.EscrowPolicy{Off: config.Escrow.Off, Threshold: config.Escrow.Threshold},
	})
	if err != nil {
		return err
	}
	defer closing(&err, func() error {
		end, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		return gateway.Close(end)
	})

	defer closing(&err, func() error {
		end, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		return writes.Drain(end)
	})

	// The port is taken before the ledger is asked for anything, so that a second
	// gateway started by mistake changes nothing.
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("the gateway can't listen: %w", err)
	}
	defer listener.Close()
	questions, err := listenHTTP(config.ListenHTTP)
	if err != nil {
		return err
	}
	defer closing(&err, questions.Close)
	if err := join(ctx, config, gateway, log); err != nil {
		return err
	}
	if err := mark.await(ctx); err != nil {
		return err
	}
	kept.Go(func() { mark.keep(following) })
	left, err := settle(ctx, chain, writes)
	if err != nil {
		return err
	}
	kept.Go(func() { keepSettling(following, chain, left) })
	if err := gateway.Resume(ctx); err != nil {
		return fmt.Errorf("finishing what was half done: %w", err)
	}
	gateway.KeepTime()
	gateway.KeepKeys()
	gateway.KeepAnswering()
	gateway.KeepErasing()
	gateway.KeepCopies()
	if err := gateway.CheckEscrow(ctx); err != nil {
		log.Error("escrow: change escrow.threshold in the configuration, or switch it off there", "error", err)
	}
	gateway.KeepLodging()
	gateway.KeepHandles()

	history, err := projection.Open(ctx, config.Audit, config.Chaincode)
	if err != nil {
		return fmt.Errorf("%w (it holds nothing that the blocks don't: when it is broken, delete it, and it is made anew)", err)
	}
	defer closing(&err, history.Close)
	// What follows the chain ends before the projection is closed.
	defer kept.Wait()
	defer unfollow()
	kept.Go(func() { history.Keep(following, chain, log) })
	kept.Go(func() { emergency.Keep(following, chain, config.Chaincode, gateway.Self, log) })
	heights, err := keepHeights(config, gateway, chain, others, log)
	if err != nil {
		return err
	}
	kept.Go(func() { heights.Keep(following) })

	feed, err := openEvents(ctx, config, store, log)
	if err != nil {
		return err
	}
	defer closing(&err, feed.Close)
	defer kept.Wait()
	defer unfollow()
	kept.Go(func() { feed.Keep(following, chain) })

	stopping := make(chan struct{})
	served := api.Config{
		Policy:  rules,
		Gateway: gateway, Chain: chain, Channel: config.Channel, Chaincode: config.Chaincode, Projection: history, Scratch: config.State,
		Certificate: shown.ForServer, Trust: trust, Revocations: revocations, Version: version, Log: log, Heights: heights, Events: feed, Called: told.Called,
		Asked: told.Asked, Outbox: writes, Limits: limits, Stopping: stopping, Backup: config.backups(chain, store, sealed, version),
	}
	if traces != nil {
		served.Tracer = traces
	}
	kept.Go(func() { reload(following, config, changed, rules, limits, log) })
	served.Shown, served.Tokens = config.shown(), bearers.verifier
	kept.Go(func() { bearers.keep(following, log) })
	kept.Go(func() { keepWarning(following, gateway, served.Shown, log) })
	carry := api.Carrier(served, func(ctx context.Context, txID string) bool {
		_, err := chain.Outcome(ctx, txID)
		return err == nil
	})
	kept.Go(func() { writes.Resume(following, carry) })
	server := api.NewServer(served)
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(limits.Bound(listener)) }()
	facade, err := mountFHIR(config, store, version, log)
	if err != nil {
		return err
	}
	stopWeb := sync.OnceFunc(questions.serve(api.NewWeb(served, append(append(bearers.mounts(), payloads()...), facade)...), limits, ended))
	defer stopWeb()
	now.Store(&running{gateway, history, feed})
	defer now.Store(nil)
	log.Info("serving", "member", config.Member.MSP, "address", listener.Addr().String())
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	told.Drain()
	time.Sleep(config.drainTime()) // the calls of who hasn't seen it yet are served
	now.Store(nil)
	close(stopping)
	force := time.AfterFunc(stopTime, server.Stop)
	defer force.Stop()
	var both sync.WaitGroup
	both.Go(stopWeb)
	both.Go(server.GracefulStop)
	both.Wait()
	return nil
}

// readPolicy reads who may do what; "" is the default.
func readPolicy(path string) (*policy.Policies, error) {
	if path == "" {
		return policy.Default(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return policy.Parse(filepath.Base(path), text)
}

// closing closes something and joins its error to the one that is returned.
func closing(err *error, close func() error) { *err = errors.Join(*err, close()) }

// openKeys opens the key store, and makes it at the first start.
func openKeys(config Config) (*keys.Store, error) {
	passphrase, err := readPassphrase(config.Passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	if err := os.MkdirAll(config.State, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	defer debug.FreeOSMemory() // what Argon2id took is as much as all the rest, and isn't needed again
	path := filepath.Join(config.State, "keys.db")
	store, err := keys.Open(path, passphrase)
	if errors.Is(err, keys.ErrMissing) {
		return keys.Create(path, passphrase)
	}
	return store, err
}

// readPassphrase takes the first line of a file. Windows line ends are cut too.
func readPassphrase(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
		return nil, fmt.Errorf("the first line of the passphrase file %s is empty: %w", path, err)
	}
	return line, nil
}

func dial(ctx context.Context, config Config, as Pair, journal ledger.Journal, log *slog.Logger) (*ledger.Ledger, error) {
	c := ledger.Config{
		Channel: config.Channel, Chaincode: config.Chaincode, MSP: config.Member.MSP,
		Cert: as.Cert, Key: as.Key, TLSCert: config.TLS.Cert, TLSKey: config.TLS.Key,
		Patience: fateTime, Journal: journal, Logger: log,
	}
	peers, members, err := config.peers()
	if err != nil {
		return nil, err
	}
	c.Peers = peers
	if as == config.Identity { // blocks are read, and peers watched, by one
		c.Failover = config.Failover.rules(members)
	}
	return ledger.Dial(ctx, c)
}

// join makes this member known: it publishes the member's candidacy, founds the
// registry if that is this gateway's task, waits until it is founded, and sees to
// it that the registry shows the keys this gateway holds.
func join(ctx context.Context, config Config, gateway *share.Gateway, log *slog.Logger) error {
	candidacy, err := json.MarshalIndent(gateway.Candidate(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the candidacy: %w", err)
	}
	if err := renameio.WriteFile(config.Candidate, candidacy, 0o644); err != nil {
		return fmt.Errorf("publishing the candidacy: %w", err)
	}
	pace := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 1.5, MaxInterval: time.Second}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, founded(ctx, config, gateway)
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		log.Debug("not a member of a founded consortium yet", "error", err)
	}))
	if err != nil {
		return fmt.Errorf("joining the consortium: %w", err)
	}
	return gateway.Enrol(ctx)
}

// founded returns nil once the registry has this member.
func founded(ctx context.Context, config Config, gateway *share.Gateway) error {
	ok, err := gateway.Founded(ctx)
	if ok || err != nil {
		return err
	}
	if len(config.Found) == 0 {
		return errors.New("the registry isn't founded yet")
	}
	var founders []registry.Candidate
	for _, path := range config.Found {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("a founding member has not published its candidacy: %w", err)
		}
		var c registry.Candidate
		if err := json.Unmarshal(raw, &c); err != nil {
			return fmt.Errorf("reading the candidacy in %s: %w", path, err)
		}
		founders = append(founders, c)
	}
	return gateway.Found(ctx, founders)
}

package channel

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
)

// Follower verifies blocks as they come, for who has no state: that those who order under
// the configuration in force signed them. It follows the configuration. What nobody signs,
// the peers' verdicts on the transactions, it can't tell.
type Follower struct {
	config     *Config
	lastConfig uint64
}

// Follow begins after a configuration block that is believed.
func Follow(believed *common.Block) (*Follower, error) {
	if len(believed.GetData().GetData()) != 1 {
		return nil, errors.New("a configuration block holds one configuration and nothing else")
	}
	head, envelope, err := ReadConfig(believed.Data.Data[0])
	if err != nil {
		return nil, err
	}
	config, err := New(head.ChannelId, envelope.GetConfig())
	if err != nil {
		return nil, err
	}
	return &Follower{config, believed.GetHeader().GetNumber()}, nil
}

// Verify checks the block, and takes over the configuration that it holds, if it holds one.
// Blocks come in order and none that has a configuration is left out.
func (f *Follower) Verify(b *common.Block) error {
	last, next := f.lastConfig, f.config
	if len(b.GetData().GetData()) == 1 {
		if _, envelope, err := ReadConfig(b.Data.Data[0]); err == nil {
			if next, err = f.config.Update(envelope); err != nil {
				return fmt.Errorf("block %d: %w", b.GetHeader().GetNumber(), err)
			}
			last = b.GetHeader().GetNumber()
		}
	}
	if _, err := f.config.VerifyBlock(b.GetHeader(), b.GetMetadata().GetMetadata(), last); err != nil {
		return fmt.Errorf("block %d: %w", b.GetHeader().GetNumber(), err)
	}
	f.config, f.lastConfig = next, last
	return nil
}

package command

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Accesses lie on the ledger under their custodian. Who doesn't say which one
// means all, and all are the hospitals of the consortium.

// custodians is the one given, or every hospital.
func (a *app) custodians(ctx context.Context, c *client.Client, given string) ([]string, error) {
	if given != "" {
		return []string{given}, nil
	}
	ctx, cancel := a.limited(ctx)
	defer cancel()
	answer, err := c.Members.List(ctx, &yitongv1.ListMembersRequest{})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range answer.GetMembers() {
		if m.GetKind() == string(registry.Hospital) {
			all = append(all, m.GetMspId())
		}
	}
	return all, nil
}

// accesses hands on those of one custodian, or of each; limit at most, 0 for all.
// Where nobody was named, those that this member may not see are left out.
func (a *app) accesses(ctx context.Context, c *client.Client, custodian, requester string, limit int, each func(*yitongv1.Access) error) error {
	custodians, err := a.custodians(ctx, c, custodian)
	if err != nil {
		return err
	}
	seen := 0
	for _, of := range custodians {
		left := 0
		if limit > 0 {
			if left = limit - seen; left == 0 {
				return nil
			}
		}
		err := pages(left, func(page *yitongv1.Page) ([]*yitongv1.Access, string, error) {
			ctx, cancel := a.limited(ctx)
			defer cancel()
			answer, err := c.Accesses.List(ctx, &yitongv1.ListAccessesRequest{Page: page, Custodian: of, Requester: requester})
			return answer.GetAccesses(), answer.GetNextBookmark(), err
		}, func(access *yitongv1.Access) error {
			seen++
			return each(access)
		})
		if custodian == "" && refusedAs(err, registry.NotEntitled) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find finds an access by its id alone: as the member that asked, else in the
// lists of those that it was asked for.
func (a *app) find(ctx context.Context, c *client.Client, id string) (*yitongv1.Access, error) {
	custodians, err := a.custodians(ctx, c, "")
	if err != nil {
		return nil, err
	}
	for _, of := range custodians {
		found, err := a.get(ctx, c, of, id)
		if found != nil {
			return found, nil
		}
		if s, ok := client.Status(err); !ok || s.Code() != codes.NotFound && !refusedAs(err, registry.NotEntitled) {
			return nil, err
		}
	}
	var found *yitongv1.Access
	err = a.accesses(ctx, c, "", "", 0, func(access *yitongv1.Access) error {
		if access.GetId() == id {
			found = access
		}
		return nil
	})
	if found == nil && err == nil {
		err = &failure{exit: exitNotFound, err: fmt.Errorf("%s has no access %s", a.as, id), next: "`yitong access list` shows those it has"}
	}
	return found, err
}

func (a *app) get(ctx context.Context, c *client.Client, custodian, id string) (*yitongv1.Access, error) {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	answer, err := c.Accesses.Get(ctx, &yitongv1.GetAccessRequest{Id: id, Custodian: custodian})
	return answer.GetAccess(), err
}

func refusedAs(err error, code refusal.Code) bool {
	r, ok := client.Refusal(err)
	return ok && r.Code == code
}

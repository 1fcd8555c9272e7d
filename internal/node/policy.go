package node

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"

	"popcorn/internal/sys"
)

// policy says whose deputies may run here, and as whom.
type policy struct {
	users []string // names and numbers; empty: everybody but root
	root  bool
	euid  int
	as    map[string]string // submitting user to the account here; both names or numbers
}

// mapped is the account that user uid runs as here, and whether one was named.
func (p policy) mapped(uid uint32) (account string, ok bool) {
	for from, to := range p.as {
		if isUser(from, uid) {
			return to, true
		}
	}
	return "", false
}

// checkMap refuses a mapping to an account this host does not have, and any at a
// daemon that cannot change whom it runs as.
func (p policy) checkMap() error {
	if len(p.as) > 0 && p.euid != 0 {
		return fmt.Errorf("map_users: only a daemon of root can start programs as another user: %w", ErrMalformed)
	}
	for from, to := range p.as {
		if _, err := account(to); err != nil {
			return fmt.Errorf("map_users: user %s: %w: %w", from, err, ErrMalformed)
		}
	}
	return nil
}

// account finds an account of this host by name or number.
func account(s string) (*user.User, error) {
	if u, err := user.Lookup(s); err == nil {
		return u, nil
	}
	return user.LookupId(s)
}

// admit decides whether the deputy of a user may run here, and as whom: nil for
// as this daemon does.
func (p policy) admit(uid, gid uint32) (*sys.Identity, error) {
	if err := p.check(uid); err != nil {
		return nil, err
	}
	return p.runsAs(uid, gid)
}

// runsAs is who a user's programs run as here, whether they may or not; nil for as
// this daemon does.
func (p policy) runsAs(uid, gid uint32) (*sys.Identity, error) {
	to, ok := p.mapped(uid)
	switch {
	case p.euid != 0:
		return nil, nil
	case !ok:
		return identity(uid, gid)
	}
	u, err := account(to)
	if err != nil {
		return nil, fmt.Errorf("user %d: %w", uid, err)
	}
	return identityOf(u)
}

// identityOf is an account's own: its first group, and the others it is in.
func identityOf(u *user.User) (*sys.Identity, error) {
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("look up user %s: %w", u.Username, err)
	}
	return identity(uint32(uid), uint32(gid))
}

// check refuses users the owner of this host does not want.
func (p policy) check(uid uint32) error {
	to, mapped := p.mapped(uid)
	root := uid == 0
	if mapped {
		root = isUser(to, 0)
	}
	switch {
	case p.euid != 0 && int(uid) != p.euid:
		return fmt.Errorf("user %d: this daemon belongs to user %d and starts deputies for nobody else: %w", uid, p.euid, ErrRefused)
	case p.euid == 0 && root && !p.root:
		return fmt.Errorf("user %d: root's programs are not let in (allow_root = true in the node.toml of this node's daemon lets them in): %w", uid, ErrRefused)
	case uid != 0 && len(p.users) > 0 && !slices.ContainsFunc(p.users, func(s string) bool { return isUser(s, uid) }):
		return fmt.Errorf("user %d: not in allow_users of this node's daemon: %w", uid, ErrRefused)
	}
	return nil
}

// isUser tells whether a name or number means uid.
func isUser(s string, uid uint32) bool {
	want := strconv.FormatUint(uint64(uid), 10)
	if s == want {
		return true
	}
	u, err := user.Lookup(s)
	return err == nil && u.Uid == want
}

// identity is what the deputy of a user runs as. The group comes from another
// host: whoever is not in it here does not get it.
func identity(uid, gid uint32) (*sys.Identity, error) {
	id := &sys.Identity{UID: uid, GID: gid, Groups: []uint32{}}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err == nil {
		names, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("ask for groups of %s: %w", u.Username, err)
		}
		for _, name := range names {
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				id.Groups = append(id.Groups, uint32(n))
			}
		}
	} else if !errors.As(err, new(user.UnknownUserIdError)) {
		return nil, fmt.Errorf("look up user %d: %w", uid, err)
	}
	known := err == nil
	if known && !slices.Contains(id.Groups, gid) || !known && gid == 0 {
		return nil, fmt.Errorf("user %d is not in group %d here: %w", uid, gid, ErrRefused)
	}
	return id, nil
}

package trust

import "errors"

// Why a peer or a token is not believed.
var (
	ErrNoIdentity   = errors.New("this node belongs to no cluster yet")
	ErrNotAuthority = errors.New("this node does not hold the cluster's authority")
	ErrUntrusted    = errors.New("certificate is not of this cluster")
	ErrOtherNode    = errors.New("certificate is of another node")
	ErrExpired      = errors.New("certificate is expired or not valid yet")
	ErrRevoked      = errors.New("certificate was revoked")
	ErrFingerprint  = errors.New("the authority is not the one the token names")
	ErrTokenForm    = errors.New("not a join token")
	ErrTokenUnknown = errors.New("unknown token")
	ErrTokenUsed    = errors.New("token was used already")
	ErrTokenExpired = errors.New("token has expired")
)

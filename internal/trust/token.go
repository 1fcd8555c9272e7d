package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Token lets one node join. Whoever holds it may, so it is short-lived.
type Token struct {
	ID     [8]byte
	Secret [16]byte
	CA     [sha256.Size]byte // fingerprint of the authority's certificate
}

const (
	tokenPrefix = "popcorn1."
	tokenSize   = 8 + 16 + sha256.Size
)

var tokenCode = base64.RawURLEncoding.Strict()

// String is the token as people pass it on.
func (t Token) String() string {
	b := append(append(t.ID[:], t.Secret[:]...), t.CA[:]...)
	return tokenPrefix + tokenCode.EncodeToString(b)
}

// ParseToken reads what String wrote, and nothing else.
func ParseToken(s string) (Token, error) {
	var t Token
	code, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok {
		return t, fmt.Errorf("read token: it does not begin with %s: %w", tokenPrefix, ErrTokenForm)
	}
	// The decoder skips line ends.
	if strings.ContainsAny(code, "\r\n") || len(code) != tokenCode.EncodedLen(tokenSize) {
		return t, fmt.Errorf("read token: %d characters where %d belong: %w", len(code), tokenCode.EncodedLen(tokenSize), ErrTokenForm)
	}
	b, err := tokenCode.DecodeString(code)
	if err != nil {
		return t, fmt.Errorf("read token: %w: %w", ErrTokenForm, err)
	}
	copy(t.ID[:], b)
	copy(t.Secret[:], b[8:])
	copy(t.CA[:], b[24:])
	return t, nil
}

// issued is what the authority keeps of a token: not the secret.
type issued struct {
	ID      []byte    `json:"id"`
	Hash    []byte    `json:"hash"`
	Expires time.Time `json:"expires"`
	Used    bool      `json:"used"`
}

// keepTokens is how long the authority can tell a token that was used or has
// expired from one it never made.
const keepTokens = 7 * 24 * time.Hour

// maxTTL bounds the life of a token.
const maxTTL = 24 * time.Hour

// Token makes a token that is good for ttl.
func (a *Authority) Token(ttl time.Duration) (Token, time.Time, error) {
	if ttl < time.Second || ttl > maxTTL {
		return Token{}, time.Time{}, fmt.Errorf("make token: it may live for a second to a day, not %v", ttl)
	}
	t := Token{CA: sha256.Sum256(a.cert.Raw)}
	rand.Read(t.ID[:])
	rand.Read(t.Secret[:])
	hash := sha256.Sum256(t.Secret[:])
	expires := a.now().Add(ttl)
	err := a.update(func(l *ledger) error {
		l.Tokens = append(l.Tokens, issued{t.ID[:], hash[:], expires, false})
		return nil
	})
	if err != nil {
		return Token{}, time.Time{}, fmt.Errorf("make token: %w", err)
	}
	return t, expires, nil
}

// Redeem uses a token up; afterwards it has been used, whatever happens.
func (a *Authority) Redeem(id, secret []byte) error {
	hash := sha256.Sum256(secret)
	now := a.now()
	err := a.update(func(l *ledger) error {
		for i, t := range l.Tokens {
			if string(t.ID) != string(id) {
				continue
			}
			// Nothing is told of a token to somebody without its secret.
			if subtle.ConstantTimeCompare(t.Hash, hash[:]) != 1 {
				return ErrTokenUnknown
			}
			l.Tokens[i].Used = true
			return judge(t, now)
		}
		return ErrTokenUnknown
	})
	if err != nil {
		return fmt.Errorf("redeem token: %w", err)
	}
	return nil
}

func judge(t issued, now time.Time) error {
	switch {
	case t.Used:
		return ErrTokenUsed
	case !now.Before(t.Expires):
		return ErrTokenExpired
	}
	return nil
}

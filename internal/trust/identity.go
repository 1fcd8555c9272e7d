package trust

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Identity is who a certificate speaks for.
type Identity struct {
	Cluster, Node string
	// Authority marks the founding node, where tokens are redeemed: another
	// node that took its place would learn their secrets.
	Authority bool
}

const scheme = "popcorn"

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	number   = regexp.MustCompile(`^(node)?[0-9]+$`)
)

// CheckName refuses what is no name of a node: it stands in certificates,
// file names and sets of nodes, where numbers, home and all mean something.
func CheckName(name string) error {
	switch {
	case !nameForm.MatchString(name):
		return fmt.Errorf("%q is no name for a node: take up to 63 letters, digits, dots and dashes", name)
	case name == "home", name == "all", number.MatchString(name):
		return fmt.Errorf("%q is no name for a node: every job has nodes called so", name)
	}
	return nil
}

// uris are the subject alternative names of the certificate for id.
func (id Identity) uris() []*url.URL {
	out := []*url.URL{{Scheme: scheme, Host: id.Cluster, Path: "/node/" + id.Node}}
	if id.Authority {
		out = append(out, &url.URL{Scheme: scheme, Host: id.Cluster, Path: "/authority"})
	}
	return out
}

// identityOf reads who a verified certificate speaks for.
func identityOf(cert *x509.Certificate) (Identity, error) {
	var id Identity
	for _, u := range cert.URIs {
		if u.Scheme != scheme || u.Host == "" || id.Cluster != "" && u.Host != id.Cluster {
			return id, fmt.Errorf("read certificate: name %q is not of a cluster", u)
		}
		id.Cluster = u.Host
		if u.Path == "/authority" {
			id.Authority = true
		} else if node, ok := strings.CutPrefix(u.Path, "/node/"); ok && id.Node == "" {
			id.Node = node
		} else {
			return id, fmt.Errorf("read certificate: name %q is not of a node", u)
		}
	}
	if err := CheckName(id.Node); err != nil {
		return id, fmt.Errorf("read certificate: %w", err)
	}
	return id, nil
}

// clusterOf is the cluster an authority's certificate speaks for.
func clusterOf(ca *x509.Certificate) (string, error) {
	if len(ca.URIs) != 1 || ca.URIs[0].Scheme != scheme || ca.URIs[0].Host == "" || ca.URIs[0].Path != "" {
		return "", fmt.Errorf("read authority: %q name no cluster", ca.URIs)
	}
	return ca.URIs[0].Host, nil
}

//go:build !amd64

package bench

var guestELF []byte

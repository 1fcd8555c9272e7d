//go:build !race

package node

const manyNodes = 64

// Package image is the file a checkpoint is kept in: an ELF core file, as gdb
// and readelf know it, with notes of our own for what a core lacks. It encodes
// and decodes the head of such a file and says where everything lies in it.
//
// It reads and writes no file, knows no process, and is pure.
package image

// Package carry takes a stopped program apart into an image and builds a program
// from one. What cannot be carried it names before anything is touched.
//
// It does not stop programs, bring them home or watch them run: package job does.
package carry

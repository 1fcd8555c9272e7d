// Package house holds the rules the rooms of this repository keep: who may
// import whom, and which packages are pure. Its tests are all there is to it.
//
// It is imported by nothing.
package house

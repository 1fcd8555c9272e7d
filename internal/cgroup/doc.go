// Package cgroup limits processes by control groups, version 2 (cgroups(7), the
// kernel's Documentation/admin-guide/cgroup-v2.rst): a [Tree] is a group with
// limits of its own and a child for each thing that is started, which has
// limits too. A limit that cannot be had is an error which says what to do.
//
// It starts and ends no process, and it does not know version 1.
package cgroup

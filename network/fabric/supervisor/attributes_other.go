//go:build !linux

package supervisor

import "syscall"

// attributes put the child in a process group of its own, so that Ctrl-C in a
// terminal reaches only us and we stop the children in order. Children of a
// killed parent live on here; sweep ends them at the next start.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

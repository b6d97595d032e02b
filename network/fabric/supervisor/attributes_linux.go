package supervisor

import "syscall"

// attributes put the child in a process group of its own, so that Ctrl-C in a
// terminal reaches only us and we stop the children in order; and they make the
// kernel kill it when we die, however we die.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

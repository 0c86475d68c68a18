package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// capDACOverride is CAP_DAC_OVERRIDE of linux/capability.h.
const capDACOverride = 1

// identity is the user as whom PostgreSQL runs. PostgreSQL refuses root; an
// ordinary user is himself.
//
// For root there are two ways, tried in this order:
//
//  1. A user namespace in which root of the outside is an ordinary user. The
//     files stay root's, and it works below a home folder that only root may
//     enter. Hardened kernels and containers forbid it.
//  2. The user postgres, to whom the data is given. So that he reaches it below
//     folders that only root may enter, he keeps the capability to pass them,
//     where that is allowed.
//
// In both the inner user must be known by name (initdb asks for it).
type identity struct {
	uid, gid int  // of the inner user
	chown    bool // the data must belong to uid, gid
	attr     func() *syscall.SysProcAttr
}

// apply makes cmd run as the identity.
func (id identity) apply(cmd *exec.Cmd) { cmd.SysProcAttr = id.attr() }

// findIdentity chooses the way that works for the program on dir, which exists.
func findIdentity(opts Options, postgres, dir string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{attr: func() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }}, nil
	}
	uid, gid, err := innerUser()
	if err != nil {
		return identity{}, err
	}
	owner, err := ownerOf(dir)
	if err != nil {
		return identity{}, err
	}
	if owner != 0 && owner != uid {
		return identity{}, fmt.Errorf("the database in %s belongs to user %d; start as that user, "+
			"or choose another folder with DATA_DIR", dir, owner)
	}

	namespace := identity{uid: uid, gid: gid, attr: func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: 0, Size: 1}},
		}
	}}
	passing := identity{uid: uid, gid: gid, chown: true, attr: func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
			AmbientCaps: []uintptr{capDACOverride},
		}
	}}
	plain := identity{uid: uid, gid: gid, chown: true, attr: func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}}
	ways := []identity{namespace, passing, plain}
	if owner != 0 || opts.noUserNamespace {
		ways = ways[1:] // the data was given to the inner user before
	}
	var failed error
	for _, way := range ways {
		if failed = way.try(postgres, dir); failed == nil {
			return way, nil
		}
	}
	return identity{}, fmt.Errorf("PostgreSQL cannot run as root here: user %d may not enter %s (%w); "+
		"start as an ordinary user, or choose another folder with DATA_DIR", uid, dir, failed)
}

// try looks whether the identity can be taken and works on dir.
func (id identity) try(postgres, dir string) error {
	if id.chown {
		if err := give(dir, id.uid, id.gid); err != nil {
			return err
		}
	}
	// Not cmd.Dir: the capability takes effect in the new program only.
	cmd := exec.Command("/bin/sh", "-c", `cd -- "$1" && test -w . && test -x "$2"`, "sh", dir, postgres)
	cmd.Dir = "/"
	id.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	return nil
}

// innerUser is postgres (made by Debian's package), else nobody.
func innerUser() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, lookupErr := user.Lookup(name)
		if lookupErr != nil {
			err = lookupErr
			continue
		}
		uid, err = strconv.Atoi(u.Uid)
		if err != nil {
			continue
		}
		gid, err = strconv.Atoi(u.Gid)
		if err == nil && uid != 0 {
			return uid, gid, nil
		}
	}
	return 0, 0, errors.Join(errors.New("PostgreSQL refuses root, and there is neither a user postgres nor nobody"), err)
}

func ownerOf(path string) (int, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("local: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("local: the owner of %s is not known", path)
	}
	return int(stat.Uid), nil
}

// give makes the inner user the owner of dir and everything in it: dir itself
// last, so that a start that was cut off begins again.
func give(dir string, uid, gid int) error {
	if owner, err := ownerOf(dir); err != nil || owner == uid {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	return os.Lchown(dir, uid, gid)
}

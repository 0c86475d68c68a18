// Package local runs PostgreSQL and Redis as child processes of the calling
// program, so that a machine with nothing but the two server programs can run
// the portal and its tests.
//
// What holds:
//
//   - One portal per data folder. The folder is locked while a portal runs; a
//     second start is refused with [ErrInUse].
//   - No orphans. Each server has the parent-death signal of the kernel: when
//     the portal goes, however it goes, the servers shut down cleanly. They
//     inherit a second lock; the next start waits until it is free, so it never
//     meets the servers of a portal that was killed a moment ago.
//   - Nothing listens on a network. Both servers are reached by Unix sockets in
//     a folder that only the owner may enter; inside it no password is asked.
//   - Ctrl-C reaches the portal only: the servers have process groups of their
//     own and are stopped by [Servers.Stop], after the portal has finished.
//   - Root is no obstacle, though PostgreSQL refuses root; see identity.go.
//
// The data folder:
//
//	lock, servers.lock   held while the portal, while its servers live
//	instance.json        where the running instance is reached, for [Find]
//	postgres/, redis/    the data
//	postgres.log, redis.log
//	run/                 the sockets (elsewhere when the path is too long)
package local

// Package zoo lets plusmoin watch forty hostile and broken servers beside a
// healthy master with its slave, and judges that none of them does any harm:
// rounds are on time, nothing is told of the pair, memory stays what it was, and
// plusmoin stops at once when it is told to.
//
//	ZOO=10m go test -v -timeout 0 ./zoo
//
// The program is the real one, as a process of its own. The package hides what
// the servers say; each has a name, and words for why it must be down.
//
// Environment: ZOO is how long plusmoin watches them (default 15s).
package zoo

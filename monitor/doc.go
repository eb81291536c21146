// Package monitor runs the loop: it decides when the next round begins, lets
// the nodes be looked at and the beats be sent, and hands what package cluster
// makes of it to the listeners.
//
// It hides when rounds take place. It never judges a node, and it never waits
// for a listener longer than that listener chooses to hold it.
package monitor

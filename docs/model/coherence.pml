/*
 * The protocol of internal/coherence, one page per transaction, for spin.
 *
 * Node 0 is home. Each node runs one thread that does OPS reads and writes of
 * any page. Messages keep their order between a pair of nodes only. A write
 * flips the page's bit, and the bit that every access must see is in ref[]: a
 * stale read or a lost update breaks an assertion.
 *
 * Checked by internal/coherence/model_test.go:
 *   safety     SWMR, current data at every access, every wait ends (monitor)
 *   progress   no cycle without an access (pan -DNP, -l)
 * and, so that we know the checks can fail:
 *   -DEARLY    grants before the acknowledgements: breaks safety
 *   -DNOLOCK   unlocks when any grant is sent, not when a remote's is installed: breaks safety
 *   -DNOGUARD  without the minimum hold time: breaks progress
 * The lines beginning with EV and ST are replayed against the Go code, which
 * must reach the same states (built with -DNOGUARD, as time is not replayed).
 *
 * The minimum hold time is modelled as what it is for: a page is not taken from
 * the node that got it last before the thread waiting there has used it.
 */
#ifndef N
#define N 3
#endif
#ifndef P
#define P 1
#endif
#ifndef OPS
#define OPS 2
#endif
#define WIRE 4

#define I 0
#define S 1
#define X 2

/*
 * A grant of home itself needs no INSTALLED; home asks for one (the last field of
 * GRANT and UPGRADE) where the page is disputed, which here is: when it likes.
 */
mtype = { REQUEST, FETCH, GRANT, UPGRADE, INVALIDATE, INVALIDATED, INSTALLED, SETTLED }

/* wire[from*N+to]: kind, page, mode, requester, data, to be confirmed */
chan wire[N * N] = [WIRE] of { mtype, byte, byte, byte, bit, bit };
#define W(f, t) wire[(f) * N + (t)]

/* what nodes have, and what their threads want */
byte have[N * P];
bit  data[N * P];
bit  asked[N * P];
byte want[N];
byte where[N];
byte left[N] = OPS;
bit  ref[P];

/* the directory */
byte dmode[P] = X;
byte owner[P];
byte sharers[P];
chan queue[P] = [N] of { byte, byte };

/* its transaction on each page */
#define COPY 0
#define TAKE 1
#define UPGR 2
bit  locked[P];
byte by[P];
byte mode[P];
byte act[P];
byte src[P];
byte acks[P];
bit  granted[P];
bit  finished[P];

/* the minimum hold time */
byte last[P];
bit  used[P] = 1;

#define B(n) (1 << (n))
#define HOLDS(p, n) ((dmode[p] == X && owner[p] == (n)) || (dmode[p] == S && (sharers[p] & B(n))))
#define AT(p, n) (HOLDS(p, n) -> dmode[p] : I)

#ifdef NOGUARD
#define GUARDED(p, n, m) false
#else
#define LAPSED(p) (used[p] || want[last[p]] == I || where[last[p]] != (p))
#define GUARDED(p, n, m) (!LAPSED(p) && last[p] != (n) && HOLDS(p, last[p]) && (dmode[p] == X || (m) == X))
#endif

byte hn, hm, hk; /* scratch of home's steps, all atomic */

inline report()
{
	hk = 0;
	do
	:: hk < P ->
		printf("ST %d %d: %d%d%d %d%d%d\n", hk, locked[hk],
			have[0 * P + hk], have[1 * P + hk], (N > 2 -> have[(N - 1) * P + hk] : 0),
			AT(hk, 0), AT(hk, 1), (N > 2 -> AT(hk, N - 1) : 0));
		hk++
	:: else -> break
	od;
	hk = 0
}

inline post(xf, xt, xk, xp, xm, xn, xd, xc)
{
	assert(nfull(W(xf, xt)));
	W(xf, xt)!xk, xp, xm, xn, xd, xc
}

inline lose(lp, ln)
{
	if
	:: dmode[lp] == X && owner[lp] == (ln) -> dmode[lp] = S; sharers[lp] = 0
	:: dmode[lp] == S ->
		sharers[lp] = sharers[lp] & ~B(ln);
		if
		:: owner[lp] == (ln) && sharers[lp] != 0 ->
			owner[lp] = 0;
			do
			:: (sharers[lp] & B(owner[lp])) -> break
			:: else -> owner[lp]++
			od
		:: else
		fi
	:: else
	fi
}

inline gain(gp, gn, gm)
{
	if
	:: gm == X -> dmode[gp] = X; owner[gp] = gn; sharers[gp] = 0
	:: gm == S && dmode[gp] == X -> dmode[gp] = S; sharers[gp] = B(owner[gp]) | B(gn)
	:: gm == S && dmode[gp] == S ->
		if
		:: sharers[gp] == 0 -> owner[gp] = gn
		:: else
		fi;
		sharers[gp] = sharers[gp] | B(gn)
	fi
}

/* plan and start a transaction: who supplies, who must drop */
inline start(sp, sn, sm)
{
	locked[sp] = 1; granted[sp] = 0; finished[sp] = 0;
	by[sp] = sn; mode[sp] = sm;
	if
	:: HOLDS(sp, 0) -> src[sp] = 0
	:: else -> src[sp] = owner[sp]
	fi;
	acks[sp] = 0;
	if
	:: sm == S -> act[sp] = COPY
	:: sm == X && AT(sp, sn) == S -> act[sp] = UPGR; acks[sp] = sharers[sp] & ~B(sn)
	:: sm == X && AT(sp, sn) == I && dmode[sp] == S -> act[sp] = TAKE; acks[sp] = sharers[sp] & ~B(src[sp])
	:: sm == X && AT(sp, sn) == I && dmode[sp] == X -> act[sp] = TAKE
	fi;
	hk = 1;
	do
	:: hk < N ->
		if
		:: (acks[sp] & B(hk)) -> post(0, hk, INVALIDATE, sp, I, 0, 0, 0)
		:: else
		fi;
		hk++
	:: else -> break
	od;
	hk = 0;
	if
	:: (acks[sp] & 1) -> have[sp] = I; lose(sp, 0); acks[sp] = acks[sp] & ~1
	:: else
	fi
}

/* is home's own grant to be confirmed? Never in runs that are replayed */
inline choose(cp)
{
	if
	:: finished[cp] = 1
#ifndef NOGUARD
	:: skip
#endif
	fi
}

inline grant(rp)
{
	granted[rp] = 1;
	last[rp] = by[rp]; used[rp] = 0;
	if
	:: act[rp] == UPGR && by[rp] == 0 -> have[rp] = X; asked[rp] = 0; finished[rp] = 1
	:: act[rp] == UPGR && by[rp] != 0 ->
		choose(rp);
		post(0, by[rp], UPGRADE, rp, X, 0, 0, !finished[rp])
	:: act[rp] != UPGR && src[rp] == 0 ->
		choose(rp);
		have[rp] = (act[rp] == COPY -> S : I);
		post(0, by[rp], GRANT, rp, mode[rp], 0, data[rp], !finished[rp])
	:: act[rp] != UPGR && src[rp] != 0 -> post(0, src[rp], FETCH, rp, mode[rp], by[rp], 0, 0)
	fi;
#ifdef NOLOCK
	finished[rp] = 1
#endif
}

#ifdef EARLY
#define MAYGRANT(p) true
#else
#define MAYGRANT(p) (acks[p] == 0)
#endif

/* let home go on with page p until it has to wait */
inline advance(ap)
{
	do
	:: locked[ap] && !granted[ap] && MAYGRANT(ap) -> grant(ap)
	:: locked[ap] && finished[ap] ->
		gain(ap, by[ap], mode[ap]);
		locked[ap] = 0; granted[ap] = 0; finished[ap] = 0
	:: !locked[ap] && len(queue[ap]) > 0 ->
		queue[ap]?<hn, hm>;
		if
		:: GUARDED(ap, hn, hm) -> hn = 0; hm = 0; break
		:: else ->
			queue[ap]?hn, hm;
			if
			:: AT(ap, hn) >= hm && hn == 0 -> asked[ap] = 0
			:: AT(ap, hn) >= hm && hn != 0 -> post(0, hn, SETTLED, ap, I, 0, 0, 0)
			:: else -> start(ap, hn, hm)
			fi
		fi;
		hn = 0; hm = 0
	:: else -> break
	od
}

/* who has what, at every moment */
inline swmr(wp)
{
	hk = 0; hn = 0; hm = 0;
	do
	:: hk < N ->
		if
		:: have[hk * P + wp] == X -> hn++
		:: have[hk * P + wp] == S -> hm++
		:: else
		fi;
		hk++
	:: else -> break
	od;
	assert(hn == 0 || (hn == 1 && hm == 0));
	hk = 0; hn = 0; hm = 0
}

/* one message; the last lines keep dead values out of the state */
inline handle(hf)
{
	W(hf, me)?k, p, m, n, d, c;
	printf("EV deliver %d %d\n", hf, me);
	if
	:: k == REQUEST -> queue[p]!hf, m
	:: k == FETCH ->
		assert(have[me * P + p] != I);
		have[me * P + p] = (m == X -> I : S);
		post(me, n, GRANT, p, m, 0, data[me * P + p], 1)
	:: k == GRANT ->
		assert(have[me * P + p] == I);
		data[me * P + p] = d;
		have[me * P + p] = m;
		confirm()
	:: k == UPGRADE ->
		assert(have[me * P + p] == S);
		have[me * P + p] = X;
		confirm()
	:: k == INVALIDATE ->
		have[me * P + p] = I;
		post(me, 0, INVALIDATED, p, I, 0, 0, 0)
	:: k == INVALIDATED ->
		lose(p, hf);
		acks[p] = acks[p] & ~B(hf)
	:: k == INSTALLED ->
#ifndef NOLOCK
		assert(locked[p] && by[p] == hf);
		finished[p] = 1
#else
		skip
#endif
	:: k == SETTLED -> asked[me * P + p] = 0
	fi;
	if
	:: me == 0 -> advance(p)
	:: else
	fi;
	swmr(p);
	report();
	k = REQUEST; p = 0; m = 0; n = 0; d = 0; c = 0
}

inline confirm()
{
	asked[me * P + p] = 0;
	if
	:: me == 0 -> finished[p] = 1
	:: me != 0 && c -> post(me, 0, INSTALLED, p, m, 0, 0, 0)
	:: else
	fi
}

proctype Node(byte me)
{
	mtype k = REQUEST;
	byte p, m, n, f;
	bit d, c;
end:
	do
	/* the thread */
	:: atomic { want[me] == I && left[me] > 0 ->
		left[me]--;
		if
		:: want[me] = S
		:: want[me] = X
		fi;
		p = 0;
		do
		:: p < P - 1 -> p++
		:: break
		od;
		where[me] = p; p = 0 }
	:: atomic { want[me] != I && have[me * P + where[me]] >= want[me] ->
		p = where[me];
		assert(data[me * P + p] == ref[p]);
		if
		:: want[me] == X ->
			ref[p] = 1 - ref[p];
			data[me * P + p] = ref[p]
		:: else
		fi;
		if
		:: last[p] == me -> used[p] = 1
		:: else
		fi;
		want[me] = I; where[me] = 0; p = 0 };
progress:	skip
	:: atomic { want[me] != I && have[me * P + where[me]] < want[me] && !asked[me * P + where[me]] ->
		p = where[me];
		asked[me * P + p] = 1;
		printf("EV fault %d %d %d\n", me, p, want[me]);
		if
		:: me == 0 -> queue[p]!0, want[0]; advance(p)
		:: else -> post(me, 0, REQUEST, p, want[me], 0, 0, 0)
		fi;
		report(); p = 0 }
#ifndef NOGUARD
	/* home's timer */
	:: atomic { me == 0 && ((!locked[0] && len(queue[0]) > 0 && LAPSED(0)) || (P > 1 && !locked[P - 1] && len(queue[P - 1]) > 0 && LAPSED(P - 1))) ->
		if
		:: !locked[0] && len(queue[0]) > 0 && LAPSED(0) -> p = 0
		:: P > 1 && !locked[P - 1] && len(queue[P - 1]) > 0 && LAPSED(P - 1) -> p = P - 1
		fi;
		advance(p);
		p = 0 }
#endif
	/* messages */
	:: atomic { (me != 0 && nempty(W(0, me))) || (me != 1 && nempty(W(1, me))) || (N > 2 && me != N - 1 && nempty(W(N - 1, me))) ->
		if
		:: me != 0 && nempty(W(0, me)) -> f = 0
		:: me != 1 && nempty(W(1, me)) -> f = 1
		:: N > 2 && me != N - 1 && nempty(W(N - 1, me)) -> f = N - 1
		fi;
		handle(f);
		f = 0 }
	od
}

/* when nothing can happen any more, everything must have happened */
active proctype Monitor()
{
end:
	timeout ->
	atomic {
		hk = 0;
		do
		:: hk < N -> assert(want[hk] == I && left[hk] == 0); hk++
		:: else -> break
		od;
		hk = 0;
		do
		:: hk < P -> assert(!locked[hk] && empty(queue[hk])); hk++
		:: else -> break
		od;
		hk = 0
	}
}

init
{
	atomic {
		have[0] = X;
#if P > 1
		have[1] = X;
#endif
		run Node(0);
		run Node(1);
#if N > 2
		run Node(2)
#endif
	}
}

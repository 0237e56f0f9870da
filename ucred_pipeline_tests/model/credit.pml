/* The core protocol of a corrective credit: two workers, the network, the sweeper, the settler, the
   operator, the payments API and an indexer that may restart, in every interleaving.

   One purchase. Time is phases: an attempt is `late` once its send deadline is over, and `past` once
   deadline and quiescence are; a request that left takes effect before that or never, which is the
   assumption that no rule replaces. There is no sender's lock here: the sweeper acts at any moment, as if
   every silent sender were taken for dead, the living ones as well. A crash is a worker that goes back to
   its beginning and knows nothing. Each mutant (-DNAME) takes one rule away. */

#define ATTEMPTS 2

mtype = { PLANNED, CLAIMED, SENDING, IN_DOUBT, QUARANTINED, CONFIRMED, SUPERSEDED };
mtype = { NONE, APPLIED, NOT_APPLIED, RESOLVED_NOT, MOOT };
mtype = { AT_HOME, UNDER_WAY, ARRIVED, LOST };
mtype = { SILENCE, RECEIPT, FAILURE };

/* The ledger, which both workers share; every step on it is one transaction. */
mtype correction = PLANNED;
byte holder = 0;                   /* whose claim stands: what a fence tells, without counting */
byte next = 0;                     /* attempts begun so far */
mtype attempt[ATTEMPTS] = NONE;
bool hold = false;
byte known_life = 0;               /* the life of the indexer that the epoch is about */
bool anchored = true;              /* another account's receipt, from before: it tells of a restart */

/* The outside. */
mtype request[ATTEMPTS] = AT_HOME;
mtype answer[ATTEMPTS] = SILENCE;
bool effect[ATTEMPTS] = false;     /* took effect in the present life */
bool late[ATTEMPTS] = false;
bool past[ATTEMPTS] = false;
bool within_grace = true;
bool minted = false;               /* by the payments API, in the present life */
byte life = 0;

#define ours (effect[0] + effect[1])
/* Each rule by its name; a mutant takes it away. */
#ifdef NO_GRACE
#define grace_is_over true
#else
#define grace_is_over (!within_grace)
#endif
#ifdef NO_QUIESCENCE
#define absence_counts true
#else
#define absence_counts old
#endif
#ifdef NO_FENCE
#define may_begin (!ended && !hold && next < ATTEMPTS)
#else
#define may_begin (correction == CLAIMED && holder == _pid + 1 && !hold)
#endif
#ifdef NO_DEADLINE
#define held_up false
#else
#define held_up late[n]
#endif
#ifdef NO_ANCHOR
#define forgot false
#else
#define forgot (anchored && life != known_life)
#endif
#ifdef NO_HEARTBEAT
#define reader_sees_it false
#else
#define reader_sees_it forgot
#endif
#define is_open(i) (attempt[i] == SENDING || attempt[i] == IN_DOUBT)
#ifdef EPOCH_BEFORE_QUIESCENCE
#define nothing_may_act true
#else
#define nothing_may_act ((past[0] || !is_open(0)) && (past[1] || !is_open(1)))
#endif

#define ended (correction == CONFIRMED || correction == SUPERSEDED)

inline begin_attempt() {
    n = next; next = next + 1;
    attempt[n] = SENDING; correction = SENDING; holder = 0
}

inline conclude(result) {
    if
    :: attempt[n] == MOOT -> skip
    :: result == RECEIPT && (attempt[n] == SENDING || attempt[n] == IN_DOUBT) ->
        attempt[n] = APPLIED; correction = CONFIRMED
    :: result == RECEIPT && (attempt[n] == NOT_APPLIED || attempt[n] == RESOLVED_NOT) ->
        assert(false)              /* a contradiction: what was held to have failed was acknowledged */
    :: result == NOT_APPLIED && (attempt[n] == SENDING || attempt[n] == IN_DOUBT) ->
        attempt[n] = NOT_APPLIED; correction = PLANNED
    :: result == FAILURE && attempt[n] == SENDING ->
#ifdef RETRY_IN_DOUBT
        attempt[n] = NOT_APPLIED; correction = PLANNED
#else
        attempt[n] = IN_DOUBT; correction = IN_DOUBT
#endif
    :: else -> skip
    fi
}

inline send() {
    /* One at a time, and never while an earlier request may still act. */
    assert(!(n > 0 && (attempt[0] == SENDING || attempt[0] == IN_DOUBT || attempt[0] == APPLIED)));
    assert(request[n] == AT_HOME);
    request[n] = UNDER_WAY
}

active [2] proctype Worker() {
    byte n = 0;
again:
    n = 0;
    do
    :: ended -> break
    :: next == ATTEMPTS && correction == PLANNED -> break          /* the model's own bound */
    :: atomic {
        correction == PLANNED && !hold && next < ATTEMPTS && grace_is_over ->
        correction = CLAIMED; holder = _pid + 1
       };
       if
       :: goto again                                              /* a crash */
       :: true
       fi;
       /* Evidence, taken after the claim: does it still lack, and does the indexer remember? */
       atomic {
           if
           :: forgot -> hold = true
           :: !forgot && (ours > 0 || minted) && correction == CLAIMED && holder == _pid + 1 ->
               correction = SUPERSEDED; holder = 0
           :: else
           fi;
           if
           :: (ended || hold) && correction == CLAIMED && holder == _pid + 1 ->
               correction = PLANNED; holder = 0; goto again
           :: (ended || hold) && !(correction == CLAIMED && holder == _pid + 1) -> goto again
           :: else
           fi
       };
#ifdef NO_WRITE_AHEAD
       atomic {
           if
           :: correction == CLAIMED && holder == _pid + 1 && !hold -> n = next; next = next + 1; send()
           :: else -> goto again
           fi
       };
       if
       :: goto again                                              /* a crash */
       :: true
       fi;
       atomic { attempt[n] = SENDING; correction = SENDING };
#else
       atomic {
           if
           :: may_begin -> begin_attempt()
           :: else -> goto again
           fi
       };
       if
       :: goto again                                              /* a crash */
       :: true
       fi;
       atomic {
           if
           :: held_up -> conclude(NOT_APPLIED); goto again          /* never sent */
           :: else -> send()
           fi
       };
#endif
       if
       :: goto again                                              /* a crash */
       :: true
       fi;
       if                                                           /* the answer, or none in time */
       :: atomic { answer[n] == RECEIPT -> conclude(RECEIPT) }
       :: atomic { answer[n] == FAILURE ->
#ifdef ERROR_MEANS_FAILED
           conclude(NOT_APPLIED)
#else
           conclude(FAILURE)
#endif
          }
       :: atomic { answer[n] == SILENCE -> conclude(FAILURE) }
       fi;
       goto again
    od
}

active proctype Network() {
    byte n;
end:
    do
    :: atomic { request[0] == UNDER_WAY -> n = 0 }; goto carry
    :: atomic { request[1] == UNDER_WAY -> n = 1 }; goto carry
    od;
carry:
    if
    :: atomic { request[n] = LOST; answer[n] = FAILURE }            /* an error before the effect */
    :: atomic { request[n] = LOST }                                 /* nothing ever comes back */
    :: answer[n] = FAILURE; atomic { request[n] = ARRIVED; effect[n] = true }
    :: atomic { request[n] = ARRIVED; effect[n] = true }; answer[n] = RECEIPT
    :: atomic { request[n] = ARRIVED; effect[n] = true }            /* the answer is lost */
    fi;
    atomic { assert(ours <= 1); assert(!(ours > 0 && minted)); n = 0 };
    goto end
}

active proctype Time() {
end:
    do
    :: within_grace -> within_grace = false
    :: atomic { next > 0 && !late[0] -> late[0] = true }
    :: atomic { next > 1 && !late[1] -> late[1] = true }
    :: atomic { late[0] && !past[0] && request[0] != UNDER_WAY -> past[0] = true }
    :: atomic { late[1] && !past[1] && request[1] != UNDER_WAY -> past[1] = true }
    od
}

active proctype PaymentsApi() {
    if
    :: atomic { within_grace -> minted = true; assert(ours == 0) }
    :: true
    fi
}

active proctype Sweeper() {
end:
    do
    :: atomic { correction == CLAIMED -> correction = PLANNED; holder = 0 }
    :: atomic { correction == SENDING ->
        if
        :: attempt[next - 1] == SENDING ->
#ifdef SILENT_TO_PLANNED
            attempt[next - 1] = NOT_APPLIED; correction = PLANNED
#else
            attempt[next - 1] = IN_DOUBT; correction = IN_DOUBT
#endif
        :: else
        fi
       }
    od
}

active proctype Settler() {
    byte n;
    bool seen;
    bool old;
end:
    do
    :: atomic { reader_sees_it && !hold -> hold = true }            /* also when there is nothing to send */
    :: atomic { correction == IN_DOUBT && next > 0 && attempt[next - 1] == IN_DOUBT ->
        n = next - 1; old = past[n] };
       seen = effect[n];                                            /* a read that began after `old` was looked at */
       atomic {
           if
           :: attempt[n] == IN_DOUBT && seen && life == known_life ->
               attempt[n] = APPLIED; correction = CONFIRMED
           :: attempt[n] == IN_DOUBT && !seen && life == known_life && absence_counts ->
               attempt[n] = RESOLVED_NOT; correction = PLANNED
           :: attempt[n] == IN_DOUBT && old && correction == IN_DOUBT -> correction = QUARANTINED
           :: else
           fi;
           n = 0; seen = false; old = false
       }
    od
}

active proctype Operator() {
    byte n;
end:
    do
    :: !hold && next == 0 -> hold = true                            /* holds for reasons of their own */
    :: atomic { hold && life == known_life -> hold = false }
    :: atomic { hold && life != known_life && nothing_may_act ->
        n = 0;
        do
        :: n < ATTEMPTS ->
            if
            :: attempt[n] != NONE -> attempt[n] = MOOT             /* the new epoch begins with none */
            :: else
            fi;
            n = n + 1
        :: else -> n = 0; break
        od;
        holder = 0;                                                 /* claims of the old epoch are void */
        known_life = life; anchored = false; hold = false; correction = PLANNED
       }
    :: atomic { correction == QUARANTINED && past[next - 1] && life == known_life ->   /* a person finds out */
        if
        :: effect[next - 1] -> attempt[next - 1] = APPLIED; correction = CONFIRMED
        :: else -> attempt[next - 1] = RESOLVED_NOT; correction = PLANNED
        fi
       }
    od
}

active proctype Indexer() {
    if
    :: atomic { life == 0 && !ended -> life = 1; effect[0] = false; effect[1] = false;
                minted = false }
    :: true
    fi
}

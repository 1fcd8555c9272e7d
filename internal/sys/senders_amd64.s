#include "textflag.h"

#define SI_KERNEL 0x80
#define sigcont (1<<(18-1))
#define stops (1<<(20-1) | 1<<(21-1) | 1<<(22-1)) // SIGTSTP, SIGTTIN, SIGTTOU

// noteSender is a signal handler: DI is the signal, SI its siginfo_t. It notes who
// sent it and goes on to Go's own handler. It may run on several threads at once.
TEXT noteSender<>(SB), NOSPLIT|NOFRAME, $0
	MOVL DI, CX
	DECL CX
	MOVL $1, AX
	SHLL CX, AX
	LOCK
	ORL  AX, ·everNoted(SB)

	// As prepare_signal in kernel/signal.c does with those that are pending.
	MOVL  $~stops, R8
	TESTL $sigcont, AX
	JNZ   discard
	MOVL  $~sigcont, R8
	TESTL $stops, AX
	JZ    note

discard:
	LOCK
	ANDL R8, ·sentByKernel(SB)
	LOCK
	ANDL R8, ·sentByProcess(SB)

note:
	CMPL 8(SI), $SI_KERNEL // si_code
	JNE  process
	LOCK
	ORL  AX, ·sentByKernel(SB)
	JMP  goOn

process:
	LOCK
	ORL AX, ·sentByProcess(SB)

goOn:
	MOVQ ·goHandler(SB), AX
	JMP  AX

// func noteSenderPC() uintptr
TEXT ·noteSenderPC(SB), NOSPLIT, $0-8
	LEAQ noteSender<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

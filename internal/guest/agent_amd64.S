# The agent: position-independent code that a guest's threads run on our behalf.
# It is one flat blob without data. gen/ assembles it into agent_amd64_gen.go.
#
# Slot layout (agent.go holds the same offsets, a test compares them):
#   0  u32 command   0 idle, 1 go; the futex the thread waits on
#   4  u32 done      set by the butler when a command has ended; a futex too
#   8  u64 number    system call number
#  16  u64 args[6]
#  64  u64 result    written by the butler only
#  72  u64 mask      of the shadow, while it knocks
#
# rbx holds the slot's address throughout: the kernel preserves it.
	.intel_syntax noprefix
	.text

# A stub waits here until it is seized.
	.globl pause
pause:
	mov	eax, 34
	syscall
	jmp	pause

# One injected system call: registers are set by ptrace, the trap ends it.
	.globl inject
inject:
	syscall
	.globl inject_done
inject_done:
	int3

# A table of system calls, 7 words each, ended by number -1 or by an error.
# rbx: table. At the trap rbx is the entry that ended it, rax the last result.
	.globl batch
batch:
	mov	rax, [rbx]
	cmp	rax, -1
	je	batch_done
	mov	rdi, [rbx+8]
	mov	rsi, [rbx+16]
	mov	rdx, [rbx+24]
	mov	r10, [rbx+32]
	mov	r8,  [rbx+40]
	mov	r9,  [rbx+48]
	syscall
	cmp	rax, -4095
	jae	batch_done
	add	rbx, 56
	jmp	batch
	.globl batch_done
batch_done:
	int3

# The shadow: waits for a forwarded call, makes it, rings the doorbell with the
# result. The doorbell is caught by the filter and answered by the supervisor with
# 0. In a program without our filter nobody hears it (ENOSYS): there the shadow
# knocks, by a trap. A blocked SIGTRAP would be unblocked by the kernel and lose its
# handler (force_sig_info_to_task, kernel/signal.c), so it is unblocked before; the
# supervisor puts the mask back that is left in the slot.
	.globl shadow
shadow:
	mov	eax, [rbx]
	test	eax, eax
	jnz	shadow_run
	mov	eax, 202
	mov	rdi, rbx
	xor	esi, esi
	xor	edx, edx
	xor	r10d, r10d
	syscall
	jmp	shadow
	.globl shadow_run
shadow_run:
	mov	eax, [rbx+8]
	mov	rdi, [rbx+16]
	mov	rsi, [rbx+24]
	mov	rdx, [rbx+32]
	mov	r10, [rbx+40]
	mov	r8,  [rbx+48]
	mov	r9,  [rbx+56]
	mov	dword ptr [rbx], 0
	.globl shadow_call
shadow_call:
	syscall
	.globl shadow_called
shadow_called:
	mov	r12, rax
	mov	rsi, rax
	mov	rdi, rbx
	.globl shadow_ring
shadow_ring:
	mov	eax, 0x504f50
	syscall
	.globl shadow_rung
shadow_rung:
	test	eax, eax
	jz	shadow
	mov	eax, 14
	mov	edi, 1
	lea	rsi, [rip+trap_set]
	lea	rdx, [rbx+72]
	mov	r10d, 8
	syscall
	.globl shadow_knock
shadow_knock:
	int3
	.globl shadow_knocked
shadow_knocked:
	jmp	shadow
trap_set:
	.quad	0x10

# The butler: as the shadow, but answers in the slot, for a supervisor that
# waits for it.
	.globl butler
butler:
	mov	eax, [rbx]
	test	eax, eax
	jnz	butler_run
	mov	eax, 202
	mov	rdi, rbx
	xor	esi, esi
	xor	edx, edx
	xor	r10d, r10d
	syscall
	jmp	butler
butler_run:
	mov	eax, [rbx+8]
	mov	rdi, [rbx+16]
	mov	rsi, [rbx+24]
	mov	rdx, [rbx+32]
	mov	r10, [rbx+40]
	mov	r8,  [rbx+48]
	mov	r9,  [rbx+56]
	mov	dword ptr [rbx], 0
	syscall
	mov	[rbx+64], rax
	mov	dword ptr [rbx+4], 1
	mov	eax, 202
	lea	rdi, [rbx+4]
	mov	esi, 1
	mov	edx, 1
	syscall
	jmp	butler
# What the functions of a vDSO jump to at a node whose kernel has another one:
# the calls they save elsewhere. The code stands at the same address at home, so
# that a thread may be moved in the middle of it.
#
# A clock is read by a call of our own, which returns nanoseconds: the kernel at
# home would write the time into memory that is here. Where that call is unknown,
# as at home, the real one is made.
	.globl vdso_clock_gettime
vdso_clock_gettime:
	mov	eax, 0x504f51
	syscall
	cmp	rax, -4095
	jae	real_clock_gettime
	xor	edx, edx
	mov	ecx, 1000000000
	div	rcx
	mov	[rsi], rax
	mov	[rsi+8], rdx
	xor	eax, eax
	ret
	.globl real_clock_gettime
real_clock_gettime:
	mov	eax, 228
	syscall
	ret
	.globl vdso_gettimeofday
vdso_gettimeofday:
	test	rdi, rdi
	je	real_gettimeofday
	test	rsi, rsi
	jne	real_gettimeofday
	mov	r8, rdi
	mov	eax, 0x504f51
	xor	edi, edi
	syscall
	mov	rdi, r8
	cmp	rax, -4095
	jae	real_gettimeofday
	xor	edx, edx
	mov	ecx, 1000000000
	div	rcx
	mov	[rdi], rax
	mov	eax, edx
	xor	edx, edx
	mov	ecx, 1000
	div	ecx
	mov	[rdi+8], rax
	xor	eax, eax
	ret
	.globl real_gettimeofday
real_gettimeofday:
	mov	eax, 96
	syscall
	ret
	.globl vdso_time
vdso_time:
	mov	r8, rdi
	mov	eax, 0x504f51
	mov	edi, 5
	syscall
	mov	rdi, r8
	cmp	rax, -4095
	jae	real_time
	xor	edx, edx
	mov	ecx, 1000000000
	div	rcx
	test	rdi, rdi
	je	time_told
	mov	[rdi], rax
time_told:
	ret
	.globl real_time
real_time:
	mov	eax, 201
	syscall
	ret
	.globl vdso_clock_getres
vdso_clock_getres:
	mov	eax, 229
	syscall
	ret
	.globl vdso_getcpu
vdso_getcpu:
	mov	eax, 309
	syscall
	ret
# The length -1 of its state asks how to make one: that there is no such thing
# makes C libraries and Go use the call.
	.globl vdso_getrandom
vdso_getrandom:
	cmp	r8, -1
	je	vdso_none
	mov	eax, 318
	syscall
	ret
vdso_none:
	mov	rax, -38
	ret
	.globl agent_end
agent_end:

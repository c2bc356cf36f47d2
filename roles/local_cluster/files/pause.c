/* GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pause: the process that holds a pod's namespaces. It sleeps until it is told to end, and reaps what the pod's
 * containers orphan. It has no C library, so that it costs a pod a page or two.
 */
#include <asm/unistd.h>

enum { INTERRUPT = 2, TERMINATE = 15, CHILD = 17, SIG_BLOCK = 0, NO_WAIT = 1, MASK_BYTES = 8 };

static long call(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
#error "pause is written for x86_64 and aarch64"
#endif
}

void _start(void)
{
    unsigned long wanted = 1UL << (INTERRUPT - 1) | 1UL << (TERMINATE - 1) | 1UL << (CHILD - 1);

    call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&wanted, 0, MASK_BYTES);
    for (;;) {
        long signal = call(__NR_rt_sigtimedwait, (long)&wanted, 0, 0, MASK_BYTES);

        if (signal == INTERRUPT || signal == TERMINATE)
            call(__NR_exit_group, 0, 0, 0, 0);
        while (call(__NR_wait4, -1, 0, NO_WAIT, 0) > 0)
            ;
    }
}

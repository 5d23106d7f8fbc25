/*
 * COP_CLONES in front of a kernel: one source, built for AVX-512 (x86-64-v4), AVX2 (v3) and any x86-64, chosen when the
 * program starts. The language's rules hold in all three (no contraction), so they give the same bits. Left out under
 * sanitizers, whose start-up comes after the choice.
 */
#ifndef COP_BASE_CLONES_H
#define COP_BASE_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(COP_NO_CLONES)
#define COP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define COP_CLONES
#endif

#endif

/* Replaces functions that a library has imported from others, in that library alone.

   Its calls go through a table of addresses, which the dynamic linker has filled; ours is written
   over theirs. Knows what 64-bit Linux does; elsewhere nothing is replaced. */

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define GEARMAN_C_IS_FUNCTION(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#elif defined(__aarch64__)
#define GEARMAN_C_IS_FUNCTION(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#else
#define GEARMAN_C_IS_FUNCTION(type) 0
#endif

struct gearman_c_import {
    const void *inside;         /* any address inside the library */
    const char *name;
    void *replacement;
    int replaced;
};

static int gearman_c_contains(const struct dl_phdr_info *library, const void *address)
{
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
        ElfW(Addr) start = library->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && (ElfW(Addr))address - start < segment->p_memsz)
            return 1;
    }
    return 0;
}

/* The table of addresses may be read-only since it was filled (RELRO). */
static int gearman_c_overwrite(const struct dl_phdr_info *library, void **slot, void *value)
{
    ElfW(Addr) size = (ElfW(Addr))sysconf(_SC_PAGESIZE);
    void *page = (void *)((ElfW(Addr))slot & ~(size - 1));
    int is_protected = 0;
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
        ElfW(Addr) start = library->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_RELRO && (ElfW(Addr))slot - start < segment->p_memsz)
            is_protected = 1;
    }
    if (is_protected && mprotect(page, size, PROT_READ | PROT_WRITE))
        return 0;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    if (is_protected)
        mprotect(page, size, PROT_READ);
    return 1;
}

static int gearman_c_replace_in(struct dl_phdr_info *library, size_t size, void *context)
{
    struct gearman_c_import *import = context;
    const ElfW(Dyn) *entry = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) *tables[2] = {NULL, NULL};
    ElfW(Xword) sizes[2] = {0, 0};
    (void)size;
    if (!gearman_c_contains(library, import->inside))
        return 0;
    for (int i = 0; i < library->dlpi_phnum; i++)
        if (library->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const void *)(library->dlpi_addr + library->dlpi_phdr[i].p_vaddr);
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        /* glibc has made addresses of these offsets, musl has not. */
        ElfW(Addr) place = entry->d_un.d_ptr;
        if (place < library->dlpi_addr)
            place += library->dlpi_addr;
        switch (entry->d_tag) {
        case DT_SYMTAB: symbols = (const void *)place; break;
        case DT_STRTAB: names = (const void *)place; break;
        case DT_JMPREL: tables[0] = (const void *)place; break;
        case DT_PLTRELSZ: sizes[0] = entry->d_un.d_val; break;
        case DT_RELA: tables[1] = (const void *)place; break;
        case DT_RELASZ: sizes[1] = entry->d_un.d_val; break;
        }
    }
    if (!symbols || !names)
        return 1;
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; tables[table] && i < sizes[table] / sizeof(ElfW(Rela)); i++) {
            const ElfW(Rela) *relocation = &tables[table][i];
            const char *name = names + symbols[ELF64_R_SYM(relocation->r_info)].st_name;
            if (GEARMAN_C_IS_FUNCTION(ELF64_R_TYPE(relocation->r_info))
                    && strcmp(name, import->name) == 0)
                import->replaced |= gearman_c_overwrite(
                    library, (void **)(library->dlpi_addr + relocation->r_offset),
                    import->replacement);
        }
    return 1;
}

/* Have the library around an address call another function of ours; return whether it does. */
static int gearman_c_replace_import(const void *inside, const char *name, void *replacement)
{
    struct gearman_c_import import = {inside, name, replacement, 0};
    dl_iterate_phdr(gearman_c_replace_in, &import);
    return import.replaced;
}

/* Segments that are not writable are never changed, relocations included: those are in writable
 * ones, also where they are made read-only afterwards. So the file has the same bytes, and dropping
 * the mapping loses nothing. */
#include "node/memory.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static void drop(uintptr_t start, uintptr_t end, uintptr_t page)
{
    union {
        uintptr_t number;
        void *pointer;
    } at = { .number = (start + page - 1) / page * page };

    end = end / page * page;
    if (at.number < end)
        (void)madvise(at.pointer, end - at.number, MADV_DONTNEED); /* refused: nothing is lost */
}

static int drop_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const uintptr_t *page = arg;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;

        if (p->p_type == PT_LOAD && (p->p_flags & PF_W) == 0)
            drop(start, start + p->p_memsz, *page);
    }
    return 0;
}

void memory_drop_start_pages(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)dl_iterate_phdr(drop_object, &page);
}

using System;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using System.Threading;

namespace TexBridge
{
    /// <summary>A bridge's shared memory file, mapped read only. Source: protocols/shared-memory.md, Reading.</summary>
    public sealed class SharedMemoryReader : IDisposable
    {
        readonly SharedMemoryPage page;
        readonly MemoryMappedFile mapping;
        readonly MemoryMappedViewAccessor view;
        readonly IntPtr begin;

        /// <summary>Map the file that a `memory` message names.</summary>
        /// <exception cref="IOException">It isn't there or can't be read: another host, or another user.</exception>
        /// <exception cref="UnauthorizedAccessException">The same.</exception>
        /// <exception cref="ProtocolException">It is another file than the one meant.</exception>
        public SharedMemoryReader(string file, ulong nonce, uint slots, uint stride)
        {
            // Delete is shared, so that the bridge can remove the file on Windows too.
            var stream = new FileStream(
                file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 4096);
            try
            {
                var head = new byte[SharedMemoryPage.FieldBytes];
                var count = 0;
                for (var read = 1; count < head.Length && read > 0; count += read)
                    read = stream.Read(head, count, head.Length - count);
                page = SharedMemoryPage.Read(head, count, stream.Length);
                if (page.Nonce != nonce || page.Slots != slots || page.Stride != stride)
                    throw new ProtocolException(ProtocolException.BadFrame,
                        "the file of that name is another one: the bridge is on another host", "bad_frame");
                mapping = MemoryMappedFile.CreateFromFile(
                    stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
                view = mapping.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
                begin = view.SafeMemoryMappedViewHandle.DangerousGetHandle();
            }
            catch
            {
                if (mapping != null) mapping.Dispose();
                stream.Dispose();
                throw;
            }
        }

        /// <summary>Copy a doorbell's payload. False if the slot was taken for a newer picture: drop the frame and ack.</summary>
        /// <exception cref="ProtocolException">103: the doorbell points outside of the file.</exception>
        public bool Copy(ref FrameHeader doorbell, byte[] target)
        {
            var slot = page.SlotAt(ref doorbell);
            if (view.ReadUInt64(slot) != doorbell.Seq) return false;
            Thread.MemoryBarrier();
            // The view begins at the file's first byte, so there is no offset to add. Marshal.Copy is a memcpy;
            // ReadArray goes item by item in Mono.
            var payload = new IntPtr(begin.ToInt64() + slot + SharedMemoryPage.SlotHeaderBytes);
            Marshal.Copy(payload, target, 0, (int)doorbell.PayloadBytes);
            Thread.MemoryBarrier();
            return view.ReadUInt64(slot) == doorbell.Seq;
        }

        public void Dispose()
        {
            view.Dispose();
            mapping.Dispose();
        }
    }
}

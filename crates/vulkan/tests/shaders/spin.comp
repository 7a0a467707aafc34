#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

// Keeps the device busy for a while: a chain of dependent operations nobody can shorten.
layout(local_size_x = 1) in;

layout(buffer_reference, scalar) buffer Word { uint word; };

layout(push_constant, scalar) uniform Push {
    Word word;
    uint rounds;
};

void main() {
    uint state = word.word;
    for (uint round = 0; round < rounds; ++round) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state += round;
    }
    word.word = state;
}

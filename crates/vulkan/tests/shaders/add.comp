#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

// words[i] += amount, for each of n words.
layout(local_size_x = 64, local_size_x_id = 0) in;
layout(constant_id = 1) const uint amount = 1;

layout(buffer_reference, scalar) buffer Words { uint words[]; };

layout(push_constant, scalar) uniform Push {
    Words words;
    uint n;
};

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) {
        words.words[i] += amount;
    }
}

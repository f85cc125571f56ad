# Run once in each machine of level 1: its own image becomes one of the daemons that will run here, without a copy.
image=/usr/lib/violin/image
hash=$(sha256sum <$image/manifest)
hash=${hash%% *}
for level in 2 3; do
  images=/var/lib/violin-$level/images
  mkdir -p $images/names $images/$hash
  mount --bind $image $images/$hash
  echo $hash >$images/names/host
done
